//! What is in a token that a companion minted.

use crate::support::Failure;
use scbte_core::base64;
use scbte_host_tests::fixture::Error;
use serde_json::Value;
use std::time::{Duration, SystemTime};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::AuthorityKeyIdentifier;

/// A token, taken apart.
pub(crate) struct Minted {
    /// Leaf first.
    pub(crate) chain: Vec<Certificate>,
    /// The claims.
    pub(crate) claims: Value,
}

impl Minted {
    /// Takes a token apart; nothing is verified.
    pub(crate) fn parse(token: &str) -> Result<Self, Failure> {
        let mut parts = token.split('.').map(part);
        let (header, claims) = (parts.next().transpose()?, parts.next().transpose()?);
        let x5c = header.as_ref().and_then(|header| header["x5c"].as_array().cloned()).unwrap_or_default();
        let chain = x5c.iter().map(certificate).collect::<Result<Vec<_>, _>>()?;
        assert!(!chain.is_empty(), "a token without x5c: {token}");
        Ok(Self { chain, claims: claims.unwrap_or_default() })
    }

    /// The key identifier of the authority that signed the leaf, in lower-case hex, as SPIRE names it.
    pub(crate) fn authority(&self) -> String {
        let extension = self.leaf().get_extension::<AuthorityKeyIdentifier>().ok().flatten();
        let id = extension.and_then(|(_, found)| found.key_identifier);
        id.iter().flat_map(|id| id.as_bytes()).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Tells SVIDs apart.
    pub(crate) fn serial(&self) -> String {
        self.leaf().serial_number().to_string()
    }

    /// How long the SVID is still valid.
    pub(crate) fn svid_left(&self) -> Duration {
        let not_after = self.leaf().validity().not_after.to_system_time();
        not_after.duration_since(SystemTime::now()).unwrap_or_default()
    }

    fn leaf(&self) -> &x509_cert::certificate::TbsCertificate {
        self.chain[0].tbs_certificate()
    }
}

fn part(part: &str) -> Result<Value, Failure> {
    let bytes = base64::decode_url(part).map_err(|error| Error::Certificate(error.to_string()))?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn certificate(text: &Value) -> Result<Certificate, Failure> {
    let der = base64::decode_standard(text.as_str().unwrap_or_default());
    let der = der.map_err(|error| Error::Certificate(error.to_string()))?;
    Ok(Certificate::from_der(&der).map_err(|error| Error::Certificate(error.to_string()))?)
}
