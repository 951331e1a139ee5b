//! Envoy without a filter: what everything else is measured over.
//!
//! It is the shipped configuration, with an answer of its own instead of an upstream and without the access log; what a
//! contender brings goes into that.

use super::{Running, Setting, stack, start_envoy};
use crate::error::Error;
use scbte_host_tests::fixture::{self, EnvoyConfig, Listener, Ports};
use serde_json::{Value, json};

pub(super) async fn start(setting: &Setting<'_>) -> Result<Running, Error> {
    let stack = stack(setting, Ports::free(), |config| without_filter(config).map(|_| ())).await?;
    start_envoy(setting, stack, Vec::new()).await
}

/// Envoy answers 200 by itself and writes no access log.
pub(super) fn without_upstream(config: &mut EnvoyConfig) -> Result<(), fixture::Error> {
    let manager = config.connection_manager(Listener::Data)?;
    manager.as_object_mut().map(|manager| manager.remove("access_log"));
    let route = &mut manager["route_config"]["virtual_hosts"][0]["routes"][0];
    *route = json!({
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "[\"ada\", \"grace\"]"}},
    });
    Ok(())
}

/// Takes the filter and its control listener out; what is left are the other HTTP filters.
pub(super) fn without_filter(config: &mut EnvoyConfig) -> Result<&mut Vec<Value>, fixture::Error> {
    let control = config.listener(Listener::Control)?["name"].clone();
    config.connection_manager(Listener::Data)?["http_filters"].as_array_mut().map(|filters| filters.remove(0));
    let listeners = config.value()["static_resources"]["listeners"].as_array_mut();
    let listeners = listeners.ok_or_else(|| no("listeners"))?;
    listeners.retain(|listener| listener["name"] != control);
    let filters = &mut listeners[0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
    filters.as_array_mut().ok_or_else(|| no("http_filters"))
}

/// The clusters, for a server that Envoy shall ask.
pub(super) fn clusters(config: &mut EnvoyConfig) -> Result<&mut Vec<Value>, fixture::Error> {
    config.value()["static_resources"]["clusters"].as_array_mut().ok_or_else(|| no("clusters"))
}

fn no(what: &str) -> fixture::Error {
    fixture::Error::Config(format!("it has no `{what}`"))
}
