//! Configurations that are refused: the module says why, and a running one stays.

use crate::common::scene::{AUDIENCE, Scene};
use crate::world::{Worker, control_config, data_config, host};
use scbte_host_tests::simulator::{Level, Plugin};
use serde_json::{Value, json};

#[test]
fn what_cannot_be_meant_is_refused_with_its_path() {
    let change = |change: fn(&mut Value)| {
        let mut config = data_config();
        change(&mut config);
        config.to_string()
    };
    let mut both = control_config();
    both["audiences"] = json!(["a"]);
    let mut worker = Worker::ready(&data_config());
    for (text, message) in [
        (String::new(), "configuration: ."),
        ("{".into(), "configuration: ."),
        ("{}".into(), "missing field `audiences`"),
        (change(|config| config["typo"] = json!(1)), "configuration: typo: unknown field `typo`"),
        (change(|config| config["trust"]["max_age"] = json!("1y")), "configuration: trust.max_age"),
        (
            change(|config| config["policy"]["rego"] = json!("package scbte\n\nallow if {\n  input.x ==\n}\n")),
            "policy.rego:",
        ),
        (change(|config| config["policy"] = json!({})), "configuration: policy.rego"),
        (change(|config| config["policy"]["rego"] = json!("package scbte\nallow if data.scbte.allow")), "policy"),
        (both.to_string(), "configuration: audiences: does not go with `control`"),
    ] {
        worker.vm.host().log().take();
        let plugin = Plugin::new("scbte-data", &text);
        assert!(worker.vm.canary(&plugin).is_err(), "{text}");
        assert!(worker.vm.host().log().contains(Level::Error, message), "{text}: {:?}", worker.vm.host().log().lines());
        assert_eq!(worker.play(&Scene::good()).status(), 200, "the running one stays");
    }
}

#[test]
fn an_audience_comes_from_the_node_and_never_from_the_request() {
    let host = host();
    host.set_node_metadata("NAME", "api");
    let mut config = data_config();
    config["audiences"] = json!(["{node.metadata.NAME}.production.svc.cluster.local"]);
    let mut worker = Worker::start(&host, &config);
    let envelope = crate::world::Envelope::at(crate::common::NOW).bundles(crate::world::good_bundles());
    assert_eq!(worker.push(&envelope).0, 200);
    assert_eq!(worker.play(&Scene::good()).status(), 200);
    let other = Scene::with(|scene| scene.claims["aud"] = json!("orders"));
    let request = crate::world::request_of(&other).set_header(":authority", "orders");
    assert_eq!(worker.call(request).status(), 401);
    assert_eq!(AUDIENCE, "api.production.svc.cluster.local");
}
