//! What a certificate says, in words, for people; nothing here decides anything.

use crate::words::{hex, relative, utc, visible};
use scbte_core::time::Timestamp;
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

/// A certificate in words.
#[derive(Debug)]
pub(crate) struct CertificateSummary {
    subject: String,
    uris: Vec<String>,
    is_ca: bool,
    not_before: Timestamp,
    not_after: Timestamp,
    fingerprint: String,
}

impl CertificateSummary {
    /// Reads a certificate (DER); nothing when it is none.
    pub(crate) fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let tbs = certificate.tbs_certificate();
        let at = |time: x509_cert::time::Time| Timestamp::from_secs(time.to_unix_duration().as_secs());
        let constraints = tbs.get_extension::<BasicConstraints>().ok().flatten();
        Some(Self {
            subject: visible(&tbs.subject().to_string()),
            uris: uris(&certificate),
            is_ca: constraints.is_some_and(|(_, constraints)| constraints.ca),
            not_before: at(tbs.validity().not_before),
            not_after: at(tbs.validity().not_after),
            fingerprint: hex(&Sha256::digest(der)),
        })
    }

    /// Some lines, each behind `margin`.
    pub(crate) fn lines(&self, margin: &str, now: Timestamp) -> String {
        let kind = if self.is_ca { "CA" } else { "no CA" };
        let mut lines = format!("{margin}{} ({kind})\n", self.subject);
        for uri in &self.uris {
            lines += &format!("{margin}  URI          {uri}\n");
        }
        lines += &format!("{margin}  valid        {}\n", self.validity(now));
        lines + &format!("{margin}  SHA-256      {}\n", self.fingerprint)
    }

    fn validity(&self, now: Timestamp) -> String {
        let (from, until) = (utc(self.not_before), utc(self.not_after));
        match () {
            () if now < self.not_before => format!("NOT YET: from {from}, {}", relative(self.not_before, now)),
            () if now.secs() > self.not_after.secs() => {
                format!("EXPIRED: until {until}, {}", relative(self.not_after, now))
            }
            () => format!("until {until}, ends {}", relative(self.not_after, now)),
        }
    }
}

fn uris(certificate: &Certificate) -> Vec<String> {
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>().ok().flatten();
    let names = names.map(|(_, names)| names.0).unwrap_or_default();
    let uri = |name: &GeneralName| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(visible(uri.as_str())),
        _ => None,
    };
    names.iter().filter_map(uri).collect()
}
