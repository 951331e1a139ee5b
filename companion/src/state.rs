//! The state folder: what must survive a restart, and the keys.
//!
//! Files are replaced at once (a new file, then a rename), so that a reader never sees half of one. Private files are
//! made with mode 0600, and one that group or others can read is refused: a key that leaked is no key. The one exception
//! is root's file for a group of this process, since Kubernetes cannot hand a Secret to a process that is not root in any
//! other way: `fsGroup` makes it `0440 root:fsGroup`.

use rustix::process::{getegid, geteuid, getgroups};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Longest file that is read; every one of them has a few kilobytes.
const MAX_FILE_SIZE: u64 = 4 << 20;

/// Why state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// The operating system says no.
    #[error("`{path}`: {source}", path = path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// A private file that others can read.
    #[error("`{path}` holds a private key and has mode {mode:04o} (user {owner}, group {group}), so others can read it; chmod 600 it, or make a new key if it may have leaked", path = path.display())]
    NotPrivate {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner's number.
        owner: u32,
        /// Its group's number.
        group: u32,
    },
    /// Not there.
    #[error("there is no `{path}`", path = path.display())]
    Missing {
        /// Which file or folder.
        path: PathBuf,
    },
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The owner only: mode 0600.
    Private,
    /// Everybody: mode 0644.
    Public,
}

impl Access {
    const fn mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Public => 0o644,
        }
    }
}

/// The state folder.
#[derive(Clone, Debug)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    /// An existing folder.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        match path.is_dir() {
            true => Ok(Self(path.to_owned())),
            false => Err(StateError::Missing { path: path.to_owned() }),
        }
    }

    /// The folder, made with mode 0700 where there is none.
    pub(crate) fn create(path: &Path) -> Result<Self, StateError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| io_error(path, source))?;
        Ok(Self(path.to_owned()))
    }

    /// Where a file of this name is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Keeps other commands from changing the folder's files at the same time, until the lock is dropped.
    pub(crate) fn lock(&self) -> Result<Lock, StateError> {
        let path = self.file(".lock");
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(|source| io_error(&path, source))?;
        file.lock().map_err(|source| io_error(&path, source))?;
        Ok(Lock { _file: file })
    }
}

/// Held while a command changes several files.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<String, StateError> {
    read_open(path, &open(path)?)
}

/// Reads a file with a private key; refuses one that group or others can read, but for root's file for a group of this
/// process.
pub(crate) fn read_private(path: &Path) -> Result<String, StateError> {
    let failed = |source| io_error(path, source);
    let file = open(path)?;
    // Of the open file, not of the name: another file must not slip in between.
    let found = Permissions::of(&file.metadata().map_err(failed)?);
    if !found.are_private(&Reader::this_process().map_err(failed)?) {
        let Permissions { mode, owner, group } = found;
        return Err(StateError::NotPrivate { path: path.to_owned(), mode, owner, group });
    }
    read_open(path, &file)
}

/// The user that owns what Kubernetes mounts.
const ROOT: u32 = 0;

/// Whose a file is, and who may do what with it.
#[derive(Clone, Copy, Debug)]
struct Permissions {
    mode: u32,
    owner: u32,
    group: u32,
}

/// As whom this process reads files.
#[derive(Debug)]
struct Reader {
    user: u32,
    groups: Vec<u32>,
}

impl Permissions {
    fn of(file: &Metadata) -> Self {
        Self { mode: file.mode() & 0o7777, owner: file.uid(), group: file.gid() }
    }

    /// Whether nobody but the owner has access, who is the reader or root; or root owns the file and its group, one of
    /// the reader's, may read it. A reader that is root needs no group's help.
    fn are_private(self, reader: &Reader) -> bool {
        match self.mode & 0o077 {
            0 => self.owner == ROOT || self.owner == reader.user,
            0o040 => self.owner == ROOT && reader.user != ROOT && reader.groups.contains(&self.group),
            _ => false,
        }
    }
}

impl Reader {
    fn this_process() -> io::Result<Self> {
        let groups = getgroups()?.into_iter().chain([getegid()]).map(|group| group.as_raw()).collect();
        Ok(Self { user: geteuid().as_raw(), groups })
    }
}

fn open(path: &Path) -> Result<File, StateError> {
    File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => StateError::Missing { path: path.to_owned() },
        _ => io_error(path, source),
    })
}

fn read_open(path: &Path, file: &File) -> Result<String, StateError> {
    let mut text = String::new();
    file.take(MAX_FILE_SIZE).read_to_string(&mut text).map_err(|source| io_error(path, source))?;
    Ok(text)
}

/// Replaces a file at once.
pub(crate) fn write(path: &Path, contents: &str, access: Access) -> Result<(), StateError> {
    replace(path, contents.as_bytes(), access, File::sync_all)
}

/// Replaces a public file of bytes at once.
pub(crate) fn write_bytes(path: &Path, contents: &[u8]) -> Result<(), StateError> {
    replace(path, contents, Access::Public, File::sync_all)
}

/// Replaces a public file at once, without waiting for the disk: the machine's crash may lose it.
pub(crate) fn write_unsynced(path: &Path, contents: &str) -> Result<(), StateError> {
    replace(path, contents.as_bytes(), Access::Public, |_| Ok(()))
}

fn replace(
    path: &Path,
    contents: &[u8],
    access: Access,
    sync: impl FnOnce(&File) -> io::Result<()>,
) -> Result<(), StateError> {
    let new = temporary(path);
    let written = write_new(&new, contents, access).and_then(|file| sync(&file)).and_then(|()| fs::rename(&new, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&new);
        io_error(path, source)
    })
}

/// A name in the same folder, so that a rename stays within one file system.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

fn write_new(path: &Path, contents: &[u8], access: Access) -> io::Result<File> {
    // What an interrupted process of the same number left.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(access.mode()).open(path)?;
    file.write_all(contents)?;
    Ok(file)
}

/// Removes a file; one that is not there is as good as removed.
pub(crate) fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error(path, source)),
        _ => Ok(()),
    }
}

/// Gives a file another name, replacing what has it.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StateError> {
    fs::rename(from, to).map_err(|source| io_error(from, source))
}

fn io_error(path: &Path, source: io::Error) -> StateError {
    StateError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_made_is_as_private_as_it_must_be() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::create(&root.path().join("a/state")).unwrap();
        assert_eq!(mode_of(&root.path().join("a/state")), 0o700);
        for (name, access, mode) in [("key", Access::Private, 0o600), ("ca.pem", Access::Public, 0o644)] {
            write(&state.file(name), "text", access).unwrap();
            assert_eq!(mode_of(&state.file(name)), mode, "{name}");
        }
        // A public file in the way of a private one does not lend it its mode.
        write(&state.file("ca.pem"), "text", Access::Private).unwrap();
        assert_eq!(mode_of(&state.file("ca.pem")), 0o600);
        assert_eq!(fs::read_dir(root.path().join("a/state")).unwrap().count(), 2, "temporary files stay");
    }

    #[test]
    fn a_private_file_that_others_can_read_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("key");
        write(&path, "secret", Access::Private).unwrap();
        for (mode, refused) in
            [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o620, true), (0o644, true)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = read_private(&path);
            assert_eq!(read.is_err(), refused, "{mode:o}: {read:?}");
            if let Err(error) = read {
                assert!(error.to_string().contains(&format!("mode {mode:04o}")), "{error}");
                assert!(!error.to_string().contains("secret"));
            }
        }
    }

    #[test]
    fn a_secret_that_kubernetes_mounts_is_private() {
        const NOBODY: u32 = 65532;
        const GROUP: u32 = 65533;
        for (name, mode, owner, group, user, expected) in [
            ("a Secret with fsGroup", 0o440, ROOT, GROUP, NOBODY, true),
            ("a service's key in /etc", 0o640, ROOT, GROUP, NOBODY, true),
            ("the primary group", 0o440, ROOT, NOBODY, NOBODY, true),
            ("the owner's alone", 0o600, NOBODY, 100, NOBODY, true),
            ("somebody else's group", 0o440, ROOT, 100, NOBODY, false),
            ("the reader's own file, shared with its group", 0o440, NOBODY, GROUP, NOBODY, false),
            ("another user's file", 0o440, 1000, GROUP, NOBODY, false),
            ("the reader is root", 0o440, ROOT, GROUP, ROOT, false),
            ("the group may write", 0o460, ROOT, GROUP, NOBODY, false),
            ("the group may only write", 0o420, ROOT, GROUP, NOBODY, false),
            ("the group may run it", 0o450, ROOT, GROUP, NOBODY, false),
            ("others may read", 0o444, ROOT, GROUP, NOBODY, false),
            ("a Secret without defaultMode", 0o644, ROOT, GROUP, NOBODY, false),
        ] {
            let reader = Reader { user, groups: vec![NOBODY, GROUP] };
            assert_eq!(Permissions { mode, owner, group }.are_private(&reader), expected, "{name}");
        }
        let this = Reader::this_process().unwrap();
        assert!(this.groups.contains(&getegid().as_raw()), "{this:?}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("nothing");
        assert!(matches!(read(&path), Err(StateError::Missing { path: found }) if found == path));
        assert!(matches!(StateDir::open(&path), Err(StateError::Missing { .. })));
        remove(&path).unwrap();
    }
}
