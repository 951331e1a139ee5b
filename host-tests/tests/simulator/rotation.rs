//! Trust bundles change under load: no good call is lost, no removed authority is believed, shared data is not trusted.

use crate::common::NOW;
use crate::common::key::Key;
use crate::common::pki::Draft;
use crate::common::scene::Scene;
use crate::world::{Envelope, TARGET, Worker, bundles_of, data_config, denial, good_bundles, host};
use scbte_host_tests::simulator::{Level, Plugin};

fn key() -> String {
    format!("scbte.bundle.{TARGET}")
}

fn of_the_new_authority() -> Scene {
    Scene::with(|scene| scene.recipe.authority = Draft::authority("new authority", Key::p256(50)))
}

#[test]
fn a_rotation_costs_no_good_call_and_ends_the_old_authority() {
    let host = host();
    let mut workers = [Worker::start(&host, &data_config()), Worker::start(&host, &data_config())];
    let (old, new) = (Scene::good(), of_the_new_authority());
    let authorities = (old.recipe.authority.self_signed(), new.recipe.authority.self_signed());
    assert_eq!(workers[0].push(&Envelope::at(NOW).bundles(bundles_of(&[&authorities.0]))).0, 200);
    workers.iter_mut().for_each(Worker::second);
    assert_eq!(denial(&workers[1].play(&new)).2.as_deref(), Some("untrusted_chain"));

    assert_eq!(workers[0].push(&Envelope::at(NOW + 1).bundles(bundles_of(&[&authorities.0, &authorities.1]))).0, 200);
    assert_eq!(workers[1].play(&new).status(), 200, "no tick yet: an unknown authority looks at once");
    assert_eq!(workers[1].play(&old).status(), 200);

    assert_eq!(workers[0].push(&Envelope::at(NOW + 2).bundles(bundles_of(&[&authorities.1]))).0, 200);
    workers.iter_mut().for_each(Worker::second);
    for worker in &mut workers {
        assert_eq!(denial(&worker.play(&old)).2.as_deref(), Some("untrusted_chain"), "remembered or not");
        assert_eq!(worker.play(&new).status(), 200);
    }
}

#[test]
fn a_flood_of_unknown_authorities_reads_shared_data_a_hundred_times_a_second() {
    let host = host();
    let mut workers = [Worker::start(&host, &data_config()), Worker::start(&host, &data_config())];
    let (old, new) = (Scene::good(), of_the_new_authority());
    let authorities = (old.recipe.authority.self_signed(), new.recipe.authority.self_signed());
    assert_eq!(workers[0].push(&Envelope::at(NOW).bundles(bundles_of(&[&authorities.0]))).0, 200);
    for (flood, at_once, seq) in [(99, 200, 1), (100, 401, 3)] {
        workers.iter_mut().for_each(Worker::second);
        for _ in 0..flood {
            assert_eq!(workers[1].play(&new).status(), 401);
        }
        let both = bundles_of(&[&authorities.0, &authorities.1]);
        assert_eq!(workers[0].push(&Envelope::at(NOW + seq).bundles(both)).0, 200);
        assert_eq!(workers[1].play(&new).status(), at_once, "after {flood} others");
        workers.iter_mut().for_each(Worker::second);
        assert_eq!(workers[1].play(&new).status(), 200);
        assert_eq!(workers[0].push(&Envelope::at(NOW + seq + 1).bundles(bundles_of(&[&authorities.0]))).0, 200);
    }
}

#[test]
fn signing_the_same_bundle_again_forgets_nothing() {
    let mut worker = Worker::ready(&data_config());
    worker.play(&Scene::good());
    worker.second();
    assert_eq!(worker.push(&Envelope::at(NOW + 1).bundles(good_bundles())).0, 200);
    worker.second();
    worker.play(&Scene::good());
    let hits = worker.vm.host().metrics().counter_with("scbte_token_cache_total", &[("result", "hit")]);
    assert_eq!(hits, 1);
}

#[test]
fn what_others_write_into_shared_data_is_not_believed() {
    let mut worker = Worker::ready(&data_config());
    let good = worker.vm.host().shared_data().get("scbte", &key()).unwrap().0;
    let attacker = Key::p256(66);
    let forged = Envelope { key: attacker.signing().clone(), ..Envelope::at(NOW) };
    let older = Envelope::at(NOW - 10).bundles(serde_json::Map::new());
    for (name, value) in [
        ("garbage", b"garbage".to_vec()),
        ("not text", vec![0xff; 8]),
        ("empty", Vec::new()),
        ("forged", forged.bundles(good_bundles()).into_bytes()),
        ("older", older.into_bytes()),
        ("for others", Envelope { target: "staging", ..Envelope::at(NOW) }.bundles(good_bundles()).into_bytes()),
    ] {
        worker.vm.host().shared_data().set("scbte", &key(), &value, None).unwrap();
        assert_eq!(worker.play(&Scene::good()).status(), 200, "{name}");
        worker.second();
        assert_eq!(worker.play(&Scene::good()).status(), 200, "{name}");
        assert_eq!(worker.vm.host().shared_data().get("scbte", &key()).unwrap().0, good, "{name} is put right");
    }
    worker.second();
    assert!(worker.vm.host().metrics().counter("scbte_shared_data_rejected_total").unwrap() >= 5);
}

#[test]
fn a_new_vm_and_a_new_root_have_the_bundle_at_once() {
    let mut worker = Worker::ready(&data_config());
    worker.vm.reload().unwrap();
    assert_eq!(worker.play(&Scene::good()).status(), 200, "after a reload of the VM");
    let old = worker.data;
    let mut config = data_config();
    config["errors"] = serde_json::json!({"expose_detail": false});
    worker.data = worker.vm.configure(&Plugin::new("scbte-data", config.to_string())).unwrap();
    assert_eq!(worker.play(&Scene::good()).status(), 200, "after a new configuration");
    worker.vm.delete_root(old).unwrap();
    assert_eq!(worker.play(&Scene::good()).status(), 200, "after the old one is gone");
    let mut second = Worker::start(&worker.vm.host().clone(), &data_config());
    assert_eq!(second.play(&Scene::good()).status(), 200, "on another worker");
}

#[test]
fn a_removed_envelope_key_is_not_believed_any_more() {
    let mut worker = Worker::ready(&data_config());
    let mut config = data_config();
    config["trust"]["envelope_keys"] = serde_json::json!([crate::world::jwk(&Key::p256(43))]);
    worker.data = worker.vm.configure(&Plugin::new("scbte-data", config.to_string())).unwrap();
    assert_eq!(denial(&worker.play(&Scene::good())).0, 503);
}

#[test]
fn age_is_told_and_warned_of() {
    let mut worker = Worker::ready(&data_config());
    worker.vm.host().clock().advance(std::time::Duration::from_secs(479));
    worker.second();
    assert_eq!(worker.vm.host().metrics().gauge("scbte_trust_bundle_age_seconds"), Some(480));
    assert!(worker.vm.host().log().contains(Level::Warn, "the trust bundle is 480 s old"));
}
