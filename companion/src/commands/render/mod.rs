//! `scbte render`: Envoy configurations and Istio resources, filled in from the templates in `envoy-config/`.
//!
//! What is rendered for the filter is read back by the filter's own parser, and its policy admitted, before anything
//! is written: a configuration that the filter would refuse is an error here.

mod envoy;
mod filter_config;
mod template;
mod wasmplugin;

use super::{Output, Result};
use crate::state::{self, Access};
use std::path::{Path, PathBuf};

/// Fill in the templates: an Envoy configuration, or an Istio WasmPlugin
#[derive(clap::Subcommand)]
pub(crate) enum RenderCommand {
    Envoy(Box<envoy::RenderEnvoy>),
    Wasmplugin(Box<wasmplugin::RenderWasmPlugin>),
}

impl RenderCommand {
    pub(super) fn execute(self) -> Result<Output> {
        let (rendered, output) = match self {
            Self::Envoy(envoy) => (envoy.render()?, envoy.output.0),
            Self::Wasmplugin(plugin) => (plugin.render()?, plugin.output.0),
        };
        write(rendered, output.as_deref())
    }
}

/// Where what is rendered goes.
#[derive(Clone, Debug)]
struct RenderTo(Option<PathBuf>);

impl From<&str> for RenderTo {
    fn from(text: &str) -> Self {
        Self((text != "-").then(|| text.into()))
    }
}

fn write(rendered: String, path: Option<&Path>) -> Result<Output> {
    match path {
        None => Ok(Output::success(rendered)),
        Some(path) => {
            state::write(path, &rendered, Access::Public)?;
            Ok(Output::success(format!("wrote {}\n", path.display())))
        }
    }
}
