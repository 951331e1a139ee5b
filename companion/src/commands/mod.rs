//! The subcommands. Each reads its arguments and gives back what it prints, so that tests can read it too.

mod bundle;
mod dev_ca;
mod health;
mod keygen;
mod policy;
mod render;
mod run;
mod token;
mod trusted;

use std::future::Future;

/// What a command prints, and whether it found everything in order.
#[derive(Debug)]
pub(crate) struct Output {
    /// Standard output.
    pub(crate) text: String,
    /// Whether the exit code is 0; else it is 1.
    pub(crate) success: bool,
}

impl Output {
    /// Everything went well.
    pub(crate) fn success(text: impl Into<String>) -> Self {
        Self { text: text.into(), success: true }
    }
}

/// What a command gives back: an error's text goes to standard error.
pub(crate) type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The command could not do what it was asked to: the exit code is 2, as for a wrong argument.
#[derive(Debug)]
pub(crate) struct Usage(Box<dyn std::error::Error>);

impl Usage {
    /// Because of this.
    pub(crate) fn new(error: impl Into<Box<dyn std::error::Error>>) -> Self {
        Self(error.into())
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for Usage {}

/// What to do.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    Run(Box<run::Run>),
    Health(health::Health),
    Keygen(keygen::Keygen),
    #[command(subcommand)]
    Token(token::TokenCommand),
    #[command(subcommand)]
    Bundle(bundle::BundleCommand),
    #[command(subcommand)]
    Render(render::RenderCommand),
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    #[command(subcommand)]
    DevCa(dev_ca::DevCaCommand),
}

impl Command {
    /// Does it.
    pub(crate) fn execute(self) -> Result<Output> {
        match self {
            Self::Run(run) => run.execute(),
            Self::Health(health) => health.execute(),
            Self::Keygen(keygen) => keygen.execute(),
            Self::Token(token) => token.execute(),
            Self::Bundle(bundle) => bundle.execute(),
            Self::Render(render) => render.execute(),
            Self::Policy(policy) => policy.execute(),
            Self::DevCa(dev_ca) => dev_ca.execute(),
        }
    }
}

/// Runs something that waits for the network. One thread: the companion has little to do and shares its machine.
fn block_on<F: Future>(future: F) -> Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}
