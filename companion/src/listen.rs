//! Addresses to listen on: `IP:PORT`, or `unix:///path` for a Unix socket with mode 0600.
//!
//! A socket file that nobody listens on is replaced; one that is in use, or a file of another kind, is left alone.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tokio::net::{TcpListener, UnixListener};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// The text is no address to listen on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `IP:PORT`, such as `127.0.0.1:8090`, or `unix:///path`, found `{0}`")]
pub(crate) struct NotAnAddress(String);

impl FromStr for ListenAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        match text.strip_prefix("unix:") {
            Some(path) => unix_path(path).map(Self::Unix).ok_or_else(|| NotAnAddress(text.to_owned())),
            None => text.parse().map(Self::Tcp).map_err(|_| NotAnAddress(text.to_owned())),
        }
    }
}

/// The absolute path of `unix:///path` or `unix:/path`, given what follows `unix:`.
pub(crate) fn unix_path(rest: &str) -> Option<PathBuf> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    (path.starts_with('/') && path.len() > 1).then(|| PathBuf::from(path))
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
        }
    }
}

impl ListenAddress {
    /// Whether other machines can reach it.
    pub(crate) fn is_public(&self) -> bool {
        match self {
            Self::Tcp(address) => !address.ip().is_loopback(),
            Self::Unix(_) => false,
        }
    }
}

/// Why nobody listens there now.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {why}; `{flag}` or {variable} moves the {name}")]
pub(crate) struct BindError {
    address: ListenAddress,
    why: String,
    name: &'static str,
    flag: &'static str,
    variable: &'static str,
}

/// What a listener is called in messages, and what moves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    /// `token API`.
    pub(crate) name: &'static str,
    /// `--token-listen`.
    pub(crate) flag: &'static str,
    /// `SCBTE_TOKEN_LISTEN`.
    pub(crate) variable: &'static str,
}

/// An open listener.
#[derive(Debug)]
pub(crate) enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket, removed again when this is dropped.
    Unix(UnixListener, SocketFile),
}

/// A socket's file.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Opens a listener.
    pub(crate) async fn bind(address: &ListenAddress, purpose: Purpose) -> Result<Self, BindError> {
        let bound = match address {
            ListenAddress::Tcp(socket) => TcpListener::bind(socket).await.map(Self::Tcp),
            ListenAddress::Unix(path) => bind_unix(path),
        };
        let Purpose { name, flag, variable } = purpose;
        bound.map_err(|error| BindError { address: address.clone(), why: explain(&error), name, flag, variable })
    }

    /// Where it listens; port 0 has become a port.
    pub(crate) fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(ListenAddress::Tcp),
            Self::Unix(_, file) => Ok(ListenAddress::Unix(file.0.clone())),
        }
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "it is in use by another process".to_owned(),
        _ => error.to_string(),
    }
}

fn bind_unix(path: &Path) -> io::Result<Listener> {
    refuse_foreign_file(path)?;
    // Made in a folder that only the owner can enter, then moved: the socket is never open to others, and the move
    // replaces a stale one at once.
    let folder = path.with_file_name(format!(".scbte-{}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let new = folder.join("s");
    let listener = UnixListener::bind(&new).and_then(|listener| {
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&new, path)?;
        Ok(listener)
    });
    let _ = std::fs::remove_file(&new);
    let _ = std::fs::remove_dir(&folder);
    Ok(Listener::Unix(listener?, SocketFile(path.to_owned())))
}

/// A file in the way may only be a socket that nobody listens on.
fn refuse_foreign_file(path: &Path) -> io::Result<()> {
    let Ok(file) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !file.file_type().is_socket() {
        return Err(io::Error::other("a file that is no socket is in the way"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSE: Purpose = Purpose { name: "token API", flag: "--token-listen", variable: "SCBTE_TOKEN_LISTEN" };

    #[test]
    fn what_is_an_address() {
        for (text, public) in [
            ("127.0.0.1:8090", false),
            ("[::1]:0", false),
            ("0.0.0.0:80", true),
            ("[::]:80", true),
            ("10.1.2.3:4", true),
            ("unix:///run/a", false),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!((address.is_public(), address.to_string().as_str()), (public, text));
        }
        assert_eq!("unix:/run/a".parse(), "unix:///run/a".parse::<ListenAddress>());
        for bad in [
            "",
            "8090",
            "localhost:8090",
            "127.0.0.1",
            "unix:",
            "unix://",
            "unix:///",
            "unix://run/a",
            "http://127.0.0.1:1",
        ] {
            assert!(bad.parse::<ListenAddress>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_what_moves_it() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = ListenAddress::Tcp(taken.local_addr().unwrap());
        let error = Listener::bind(&address, PURPOSE).await.unwrap_err().to_string();
        for part in [address.to_string().as_str(), "in use", "`--token-listen`", "SCBTE_TOKEN_LISTEN"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[tokio::test]
    async fn a_socket_is_private_and_replaces_only_a_stale_one() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("s");
        let address = ListenAddress::Unix(path.clone());

        let first = Listener::bind(&address, PURPOSE).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = Listener::bind(&address, PURPOSE).await.unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
        drop(first);
        assert!(!path.exists(), "it is gone with its listener");

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "stale");
        let second = Listener::bind(&address, PURPOSE).await.unwrap();
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
        drop(second);

        std::fs::write(&path, "precious").unwrap();
        assert!(Listener::bind(&address, PURPOSE).await.unwrap_err().to_string().contains("no socket"));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1, "nothing else stays");
    }
}
