//! Peer binding: the token's subject must be the one who holds the TLS connection.

use crate::common::pki::WORKLOAD;
use crate::common::scene::Scene;
use crate::world::{Worker, data_config, denial, request_of};
use serde_json::json;

#[test]
fn the_peer_must_be_the_subject() {
    let mut config = data_config();
    config["token"] = json!({"bind_peer": true});
    let mut worker = Worker::ready(&config);
    let other = "spiffe://cluster.local/ns/x/sa/thief";
    let call = |peer: Option<&str>| {
        let request = request_of(&Scene::good());
        peer.map_or(request.clone(), |peer| request.property("connection.uri_san_peer_certificate", peer))
    };
    for _ in 0..2 {
        assert_eq!(worker.call(call(Some(WORKLOAD))).status(), 200);
        for peer in [None, Some(""), Some(other)] {
            let exchange = worker.call(call(peer));
            assert_eq!(denial(&exchange).2.as_deref(), Some("peer_mismatch"), "{peer:?}");
        }
    }
}
