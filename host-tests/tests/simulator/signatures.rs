//! Who checks signatures: the host when it can be believed, else the module itself.

use crate::common::NOW;
use crate::common::key::Key;
use crate::common::scene::Scene;
use crate::world::{Envelope, Worker, data_config, denial, good_bundles, host};
use scbte_host_tests::simulator::{Host, Level, Status, verify_signature};
use std::time::Duration;

type Foreign = fn(&[u8]) -> Result<Vec<u8>, Status>;

#[test]
fn a_host_that_cannot_be_believed_is_not_asked() {
    let cases: [(&str, Option<Foreign>, &str); 6] = [
        ("works", Some(verify_signature), "verify_signature"),
        ("missing", None, "p256"),
        ("says yes to everything", Some(|_| Ok(vec![8, 1])), "p256"),
        ("says no to everything", Some(|_| Ok(vec![])), "p256"),
        ("answers something else", Some(|_| Ok(vec![8, 1, 18, 0])), "p256"),
        ("fails", Some(|_| Err(Status::InternalFailure)), "p256"),
    ];
    for (name, foreign, verifier) in cases {
        let host = Host::new();
        host.clock().set(Duration::from_secs(NOW));
        if let Some(foreign) = foreign {
            host.foreign().register("verify_signature", foreign);
        }
        let mut worker = Worker::start(&host, &data_config());
        assert_eq!(worker.push(&Envelope::at(NOW).bundles(good_bundles())).0, 200, "{name}");
        assert_eq!(worker.play(&Scene::good()).status(), 200, "{name}");
        let forged = Scene::with(|scene| scene.signer = Some(Key::p256(77)));
        assert_eq!(denial(&worker.play(&forged)).2.as_deref(), Some("bad_signature"), "{name}");
        assert_eq!(worker.status()["verifier"], verifier, "{name}");
        let warned = host.log().contains(Level::Warn, "signatures are checked inside the module");
        assert_eq!(warned, verifier == "p256", "{name}");
    }
}

#[test]
fn a_host_that_fails_later_lets_nothing_pass() {
    let host = host();
    let mut worker = Worker::start(&host, &data_config());
    assert_eq!(worker.push(&Envelope::at(NOW).bundles(good_bundles())).0, 200);
    worker.vm.tick_all().unwrap();
    host.foreign().register("verify_signature", |_| Err(Status::InternalFailure));
    assert_eq!(worker.play(&Scene::good()).status(), 401);
}
