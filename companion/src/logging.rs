//! Logs on standard error, as text or JSON. Keys and tokens never get here: nothing that is logged holds one.

use clap::ValueEnum;
use serde::Deserialize;
use std::io;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// What went wrong.
    Error,
    /// What may go wrong.
    Warn,
    /// What changed.
    #[default]
    Info,
    /// Every push and signature.
    Debug,
}

/// Starts logging.
pub(crate) fn init(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // Libraries say too much below warnings.
    let targets = Targets::new().with_target("scbte", level).with_default(level.min(LevelFilter::WARN));
    let layer = fmt::layer().with_writer(io::stderr).with_target(false);
    match format {
        LogFormat::Text => registry().with(targets).with(layer.with_ansi(false)).init(),
        LogFormat::Json => registry().with(targets).with(layer.json().flatten_event(true)).init(),
    }
}
