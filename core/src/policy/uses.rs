//! Which members of `input` a policy can read.

/// A member of `input`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the member of the same name in the README's table of the policy's input")]
pub enum Member {
    Sub,
    Ctx,
    Aud,
    Method,
    Path,
    Timestamp,
    TrustDomain,
    PathSegments,
    Query,
    Host,
    Headers,
    Claims,
    Source,
}

impl Member {
    /// Every member.
    pub const ALL: [Self; 13] = [
        Self::Sub,
        Self::Ctx,
        Self::Aud,
        Self::Method,
        Self::Path,
        Self::Timestamp,
        Self::TrustDomain,
        Self::PathSegments,
        Self::Query,
        Self::Host,
        Self::Headers,
        Self::Claims,
        Self::Source,
    ];

    /// Its name in Rego.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sub => "sub",
            Self::Ctx => "ctx",
            Self::Aud => "aud",
            Self::Method => "method",
            Self::Path => "path",
            Self::Timestamp => "timestamp",
            Self::TrustDomain => "trust_domain",
            Self::PathSegments => "path_segments",
            Self::Query => "query",
            Self::Host => "host",
            Self::Headers => "headers",
            Self::Claims => "claims",
            Self::Source => "source",
        }
    }
}

/// The members of `input` that a policy can reach: never too few, perhaps too many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    members: Vec<Member>,
}

impl Uses {
    /// Whether the policy can read this member.
    #[must_use]
    pub fn has(&self, member: Member) -> bool {
        self.members.contains(&member)
    }

    /// The members that it can read.
    pub fn iter(&self) -> impl Iterator<Item = Member> + '_ {
        self.members.iter().copied()
    }

    /// Notes one member by its name in Rego; one that does not exist is always undefined.
    pub(super) fn add(&mut self, name: &str) {
        let found = Member::ALL.into_iter().find(|member| member.name() == name);
        self.members.extend(found.filter(|member| !self.has(*member)));
    }

    /// Notes that `input` is used as a whole.
    pub(super) fn add_all(&mut self) {
        self.members = Member::ALL.to_vec();
    }
}
