//! SPIRE below an upstream authority, with a P-384 key as SPIRE's own tests have it: chains have an intermediate.

use crate::support::{Outcome, USERS, World, assert_admitted};
use crate::token::Minted;
use scbte_host_tests::fixture::Request;
use scbte_host_tests::fixture::spire::{SpireTools, UpstreamAuthority};
use x509_cert::Certificate;
use x509_cert::der::DecodePem as _;

#[tokio::test]
async fn a_chain_with_an_intermediate_is_admitted() -> Outcome {
    let tools = SpireTools::find()?;
    let root = Certificate::from_pem(std::fs::read(&tools.upstream_certificate)?)?;
    let upstream = UpstreamAuthority { certificate: tools.upstream_certificate, key: tools.upstream_key };
    let world = World::builder()?.spire(|spire| spire.upstream(upstream)).start().await?;
    let token = world.token().await?;
    let minted = Minted::parse(&token)?;
    let [leaf, intermediate] = minted.chain.as_slice() else {
        panic!("expected a leaf and an intermediate, found {} certificates", minted.chain.len());
    };
    let (leaf, intermediate) = (leaf.tbs_certificate(), intermediate.tbs_certificate());
    assert_eq!(leaf.issuer(), intermediate.subject());
    assert_eq!(intermediate.issuer(), root.tbs_certificate().subject());
    let key = root.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes().len();
    assert_eq!(key, 1 + 2 * 48, "the root's key is not on P-384");
    assert_admitted(&world.send(&Request::get(USERS).bearer(&token)).await?, "with an intermediate");
    Ok(())
}
