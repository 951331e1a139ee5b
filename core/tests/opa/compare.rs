//! Asking both engines, and telling where they differ.

use crate::inputs::{Given, data};
use crate::json;
use crate::opa::{Answer, Files, Language, Opa, OpaRefusal};
use crate::policy::Case;
use scbte_core::policy::{Decision, Policy, PolicyEngineError};
use scbte_core::time::Timestamp;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What came of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// For each case in order: admitted, or why not.
    pub(crate) admissions: Vec<Result<(), String>>,
    pub(crate) decisions: usize,
    pub(crate) allowed: usize,
    /// Policies that allow some requests and not others.
    pub(crate) deciding: usize,
    /// Decisions where OPA, too, gives an error.
    pub(crate) both_errors: usize,
    /// Requests that no policy that reads the claims decides about, because of their numbers.
    pub(crate) unusable: usize,
    /// Clean errors where OPA has an answer that cannot be had, by their text: the request is refused.
    pub(crate) stops: BTreeMap<String, usize>,
    /// Policies that are admitted, and refused by OPA's type checker alone.
    pub(crate) ill_typed: usize,
    pub(crate) differences: Vec<String>,
}

/// Compares all policies on all inputs, those of one language in one OPA.
pub(crate) fn compare(cases: &[Case], inputs: &[Given], now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let data = data();
    let mut admitted: BTreeMap<Language, Vec<(&Case, Policy)>> = BTreeMap::new();
    for case in cases {
        let admission = case.admit(&data);
        outcome.admissions.push(admission.as_ref().map(drop).map_err(Clone::clone));
        if let Ok(policy) = admission {
            admitted.entry(case.language).or_default().push((case, policy));
        }
    }
    for (language, policies) in admitted {
        let modules = policies.iter().flat_map(|(case, _)| case.modules());
        let files = Files::write(language, modules, &data);
        let refused = files.refused();
        let mut opa = files.serve();
        for (case, mut policy) in policies {
            let refusals = case.modules().filter_map(|(name, _)| refused.get(name));
            match refusals.min_by_key(|refusal| (refusal.round, !refusal.is_of_types())) {
                Some(refusal) => outcome.refused_by_opa(case, refusal),
                None => {
                    let (before, allowed) = (outcome.decisions, outcome.allowed);
                    inputs.iter().for_each(|input| outcome.decide(case, &mut policy, input, &mut opa, now));
                    let (decisions, allowed) = (outcome.decisions - before, outcome.allowed - allowed);
                    outcome.deciding += usize::from(allowed > 0 && allowed < decisions);
                }
            }
        }
    }
    outcome
}

impl Outcome {
    /// OPA knows types before there is an input; what is of the wrong type is undefined when it is evaluated.
    fn refused_by_opa(&mut self, case: &Case, refusal: &OpaRefusal) {
        // A comment, `# METADATA`, says nothing about a decision.
        if refusal.message.starts_with("yaml: ") {
            return;
        }
        if refusal.is_of_types() {
            self.ill_typed += 1;
        } else {
            self.differences.push(format!("admitted, but OPA refuses ({refusal:?}):\n{case}"));
        }
    }

    fn decide(&mut self, case: &Case, policy: &mut Policy, given: &Given, opa: &mut Opa, now: Timestamp) {
        self.decisions += 1;
        let theirs = opa.ask(&case.entrypoint(), &given.document);
        let Ok(ours) = policy.evaluate_document_uncounted(&given.document, now) else {
            return self.unusable(case, policy, given, &theirs, now);
        };
        if let Some(decision) = given.with_input(|input| policy.evaluate(input, now))
            && decision != ours.decision
        {
            let problem = format!("the filter's decision {decision:?} is not the document's {:?}", ours.decision);
            self.differs(case, given, &problem);
        }
        let allows = matches!(ours.decision, Ok(Decision::Allow { .. }));
        self.allowed += usize::from(allows);
        if allows && !theirs.allows() {
            self.differs(case, given, &format!("ALLOWED, OPA: {theirs:?}"));
            return;
        }
        match (&ours.decision, &theirs) {
            (Err(error), Answer::Error(_)) if gives_no_value(error) => self.both_errors += 1,
            (Err(PolicyEngineError::Unsupported(stop)), _) => *self.stops.entry(stop.to_string()).or_default() += 1,
            (Err(error), _) if gives_no_value(error) => {
                self.differs(case, given, &format!("ours: {error}\nOPA:  {theirs:?}"));
            }
            _ => {
                let value = ours.value.map(|value| json::exact(&value.to_string()));
                let difference = match &theirs {
                    Answer::Error(error) => Some(format!("ours: {value:?}, OPA: error {error}")),
                    Answer::Undefined => json::difference(value.as_ref(), None),
                    Answer::Value(theirs) => json::difference(value.as_ref(), Some(theirs)),
                };
                if let Some(difference) = difference {
                    self.differs(case, given, &difference);
                }
            }
        }
    }

    /// A request with a number that is not whole: an error, unless the policy does not look at the claims.
    fn unusable(&mut self, case: &Case, policy: &mut Policy, given: &Given, theirs: &Answer, now: Timestamp) {
        match given.with_input(|input| policy.evaluate(input, now)) {
            Some(Err(PolicyEngineError::InputNumber(_))) => self.unusable += 1,
            Some(Ok(decision)) if matches!(decision, Decision::Allow { .. }) == theirs.allows() => {}
            other => self.differs(case, given, &format!("ours: {other:?}\nOPA:  {theirs:?}")),
        }
    }

    /// Says what was compared.
    pub(crate) fn report(&self, name: &str) {
        let Self { admissions, decisions, allowed, deciding, both_errors, unusable, ill_typed, .. } = self;
        let (all, admitted) = (admissions.len(), self.admitted());
        println!(
            "{name}: {all} policies, {admitted} admitted (of which OPA's type checker refuses {ill_typed}), {} refused; \
             {decisions} decisions, {allowed} allow, {both_errors} errors in both; {deciding} policies allow some and not \
             others; {unusable} requests with numbers that are not whole; ended: {:?}",
            all - admitted,
            self.stops
        );
    }

    fn admitted(&self) -> usize {
        self.admissions.iter().filter(|admission| admission.is_ok()).count()
    }

    /// Fails with the first differences.
    pub(crate) fn assert_same(&self) {
        let some: Vec<&str> = self.differences.iter().take(30).map(String::as_str).collect();
        assert!(some.is_empty(), "{} differences:\n\n{}", self.differences.len(), some.join("\n\n"));
    }

    /// Whether so many percent of the policies are admitted.
    pub(crate) fn admits(&self, percent: usize) -> bool {
        self.admitted() * 100 >= self.admissions.len() * percent
    }

    /// Whether so many percent of the admitted policies allow some requests and not others.
    pub(crate) fn decides(&self, percent: usize) -> bool {
        self.deciding * 100 >= self.admitted() * percent
    }

    fn differs(&mut self, case: &Case, given: &Given, problem: &str) {
        let input: String = Json::Object(given.document.clone()).to_string().chars().take(2000).collect();
        self.differences.push(format!("{case}\n{input}\n{problem}"));
    }
}

const fn gives_no_value(error: &PolicyEngineError) -> bool {
    use PolicyEngineError::{BudgetExhausted, Evaluation, Unsupported};
    matches!(error, BudgetExhausted(_) | Evaluation(_) | Unsupported(_))
}

impl Answer {
    fn allows(&self) -> bool {
        let Self::Value(value) = self else { return false };
        *value == Json::Bool(true) || value["allow"] == Json::Bool(true)
    }
}
