//! The Kubernetes manifests: what they name exists, and they agree with each other and with `scbte`.

use crate::harness::{Companion, command, scbte};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// A manifest's documents by kind. As Kubernetes reads YAML: `0400` is octal.
fn manifest(name: &str) -> BTreeMap<String, Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy-config/kubernetes").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(&text, options).unwrap();
    documents.into_iter().map(|document| (document["kind"].as_str().unwrap().to_owned(), document)).collect()
}

fn pod() -> Value {
    manifest("pod.yaml").remove("Pod").unwrap()
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|item| item["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

fn companion(pod: &Value) -> &Value {
    named(&pod["spec"]["initContainers"], "scbte-companion")
}

/// Where the companion has this volume.
fn mount<'a>(pod: &'a Value, volume: &str) -> &'a str {
    named(&companion(pod)["volumeMounts"], volume)["mountPath"].as_str().unwrap()
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// A flag of the companion, `--flag=value`.
fn flag<'a>(pod: &'a Value, name: &str) -> &'a str {
    let arguments = words(&companion(pod)["args"]);
    arguments.into_iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap()
}

#[test]
fn the_companion_is_a_native_sidecar_with_no_privileges() {
    let pod = pod();
    let companion = companion(&pod);
    assert_eq!(companion["restartPolicy"], "Always");
    assert_eq!(companion["image"], concat!("registry.example/scbte:", env!("CARGO_PKG_VERSION")));
    let security = &companion["securityContext"];
    for (member, expected) in [
        ("runAsNonRoot", json!(true)),
        ("allowPrivilegeEscalation", json!(false)),
        ("readOnlyRootFilesystem", json!(true)),
        ("capabilities", json!({"drop": ["ALL"]})),
        ("seccompProfile", json!({"type": "RuntimeDefault"})),
    ] {
        assert_eq!(security[member], expected, "{member}");
    }
    // Root needs no Secret's group; 1337 is istio-proxy, whose connections the sidecar lets by.
    for id in [&security["runAsUser"], &security["runAsGroup"], &pod["spec"]["securityContext"]["fsGroup"]] {
        assert!(id.as_u64().is_some_and(|id| id != 0 && id != 1337), "{id}");
    }
    assert!(companion["resources"]["limits"]["memory"].is_string());
}

#[test]
fn the_envelope_key_is_what_keygen_makes_and_only_the_companion_has_it() {
    let pod = pod();
    let volume = named(&pod["spec"]["volumes"], "scbte-envelope-key");
    let source = &volume["secret"];
    let made = scbte(["keygen", "--k8s-secret", source["secretName"].as_str().unwrap(), "-n", "production"]).good();
    let secret: Value = serde_saphyr::from_str(&made).unwrap();
    assert_eq!(secret["metadata"]["name"], source["secretName"]);

    let item = &source["items"][0];
    let key = &secret["stringData"][item["key"].as_str().unwrap()];
    assert!(key.as_str().is_some_and(|key| key.contains("\"d\"")), "{item}");
    let path = format!("{}/{}", mount(&pod, "scbte-envelope-key"), item["path"].as_str().unwrap());
    assert_eq!(flag(&pod, "--envelope-key"), path);
    assert_eq!(source["defaultMode"], 0o400);

    for container in pod["spec"]["containers"].as_array().unwrap() {
        let mounts = container["volumeMounts"].as_array().into_iter().flatten();
        let mounted: Vec<_> = mounts.map(|mount| &mount["name"]).collect();
        assert!(!mounted.contains(&&volume["name"]), "{container}");
    }
}

#[test]
fn the_agents_socket_comes_from_the_csi_driver_and_the_state_is_writable() {
    let pod = pod();
    let volumes = &pod["spec"]["volumes"];
    let agent = named(volumes, "spiffe-workload-api");
    assert_eq!(agent["csi"], json!({"driver": "csi.spiffe.io", "readOnly": true}));
    let socket = named(&companion(&pod)["env"], "SPIFFE_ENDPOINT_SOCKET")["value"].as_str().unwrap();
    let folder = socket.strip_prefix("unix://").and_then(|path| Path::new(path).parent()).unwrap();
    assert_eq!(folder, Path::new(mount(&pod, "spiffe-workload-api")));

    assert!(named(volumes, "scbte-state")["emptyDir"].is_object());
    assert_eq!(flag(&pod, "--state-dir"), mount(&pod, "scbte-state"));
    let mount = named(&companion(&pod)["volumeMounts"], "scbte-state");
    assert!(mount.get("readOnly").is_none());
}

#[test]
fn the_filter_pulls_from_the_companion_in_its_own_pod() {
    let pod = pod();
    let entry = manifest("companion.serviceentry.yaml").remove("ServiceEntry").unwrap();
    let spec = &entry["spec"];
    assert_eq!((&spec["resolution"], &spec["location"]), (&"STATIC".into(), &"MESH_EXTERNAL".into()));
    assert_eq!(spec["exportTo"], json!(["."]));
    let (host, port) = (words(&spec["hosts"])[0], &spec["ports"][0]["number"]);
    let address = spec["endpoints"][0]["address"].as_str().unwrap();
    assert_eq!(flag(&pod, "--admin-listen"), format!("{address}:{port}"));

    // The default of `--pull-cluster`.
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    scbte(["keygen", "--out", &file("k.jwk")]).good();
    std::fs::write(file("allow.rego"), "package scbte\n\ndefault allow := false\n").unwrap();
    let mut render = vec!["render", "wasmplugin", "--url", "oci://registry.example/scbte-filter:1"];
    let (key, policy) = (file("k.pub.jwk"), file("allow.rego"));
    render.extend(["--audience", "users", "--target", flag(&pod, "--target"), "--envelope-key", &key]);
    render.extend(["--policy", &policy]);
    let plugin: Value = serde_saphyr::from_str(&scbte(render).good()).unwrap();
    let cluster = &plugin["spec"]["pluginConfig"]["trust"]["pull"]["cluster"];
    assert_eq!(cluster, &json!(format!("outbound|{port}||{host}")));
}

/// With the very command of the manifest, its paths and ports moved into a folder of the test's.
#[test]
fn the_companion_starts_as_the_manifest_says_and_its_probes_tell_how_it_is() {
    let pod = pod();
    let root = tempfile::tempdir().unwrap();
    let moved = |path: &str| format!("{}{path}", root.path().display());
    let key = moved(flag(&pod, "--envelope-key"));
    let state = moved(flag(&pod, "--state-dir"));
    std::fs::create_dir_all(Path::new(&key).parent().unwrap()).unwrap();
    scbte(["keygen", "--out", &key]).good();

    let container = companion(&pod);
    let (program, subcommand) = words(&container["command"]).split_first().map(|(a, b)| (*a, b.to_vec())).unwrap();
    assert_eq!(program, "scbte");
    let mut run = command();
    run.args(subcommand);
    for argument in words(&container["args"]) {
        let (name, value) = argument.split_once('=').unwrap();
        let value = match name {
            "--state-dir" => state.clone(),
            "--envelope-key" => key.clone(),
            "--token-listen" | "--admin-listen" => "127.0.0.1:0".to_owned(),
            _ => value.to_owned(),
        };
        run.arg(format!("{name}={value}"));
    }
    for variable in container["env"].as_array().unwrap() {
        let socket = variable["value"].as_str().unwrap().strip_prefix("unix://").unwrap();
        run.env(variable["name"].as_str().unwrap(), format!("unix://{}", moved(socket)));
    }
    let companion = Companion::start_command(run, Path::new(&state));

    // No agent is there: alive, so that the application starts, and not ready.
    for (probe, code, text) in
        [("startupProbe", 0, "alive\n"), ("livenessProbe", 0, "alive\n"), ("readinessProbe", 1, "not ready: ")]
    {
        let words = words(&container[probe]["exec"]["command"]);
        assert_eq!(words[0], "scbte");
        let admin = format!("http://{}", companion.admin_api);
        let printed = scbte(words[1..].iter().copied().chain(["--admin", &admin]));
        assert!(printed.code == code && printed.out.starts_with(text), "{probe}: {printed:?}");
    }
}
