//! A policy in files that are watched: read once they keep still, and only if nothing changed meanwhile.
//!
//! Kubernetes replaces the target of a link when a ConfigMap changes, editors write a new file in the old one's place,
//! and several files change one after the other. So the files count once two looks find them the same, and what was read
//! is thrown away when a look after it finds them otherwise: files are never taken of which some are older than the last
//! change and some are newer. A writer who pauses between two files for longer than a look is not noticed; who changes
//! several files replaces the folder, or its link.

use crate::policy_bundle::VerificationKey;
use crate::policy_files::{Listing, LoadError, PolicyFiles};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long files may go on changing before that is told. A folder in which other files come and go does not hold up
/// its policy longer than this.
const PATIENCE: Duration = Duration::from_secs(5);
/// When a file that could not be read is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// What the file system says of a file or folder, links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
}

/// All files of a policy that are read, and all folders that are looked into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stamps {
    files: Vec<Stamp>,
    folders: Vec<Stamp>,
}

impl Stamps {
    /// As they are now.
    fn of(path: &Path) -> Result<Self, LoadError> {
        let mut stamps = Self::default();
        for path in Listing::of(path)?.paths() {
            let found = fs::metadata(path).map_err(|source| LoadError::Io { path: path.to_owned(), source })?;
            let stamp = Stamp {
                path: path.to_owned(),
                device: found.dev(),
                inode: found.ino(),
                modified: (found.mtime(), found.mtime_nsec()),
                changed: (found.ctime(), found.ctime_nsec()),
                size: found.size(),
            };
            if found.is_dir() { stamps.folders.push(stamp) } else { stamps.files.push(stamp) }
        }
        Ok(stamps)
    }
}

/// What a look found: the stamps, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen(Result<Stamps, Arc<str>>);

impl Seen {
    fn of(path: &Path) -> Self {
        Self(Stamps::of(path).map_err(|error| error.to_string().into()))
    }

    /// Whether the files are the same, whatever else is in their folders.
    fn has_files_of(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Ok(one), Ok(other)) => one.files == other.files,
            (one, other) => one == other,
        }
    }
}

/// A policy in files.
#[derive(Debug)]
pub(super) struct Watched {
    path: PathBuf,
    key: Option<VerificationKey>,
    /// As the last look found it, and since when no two were the same.
    seen: Option<Seen>,
    restless: Option<Instant>,
    /// As it was when it was read.
    taken: Option<Seen>,
    /// When to read the same once more.
    again: Option<Instant>,
}

impl Watched {
    /// A file or folder. With a key, it must be a bundle that is signed with it.
    pub(super) fn new(path: PathBuf, key: Option<VerificationKey>) -> Self {
        Self { path, key, seen: None, restless: None, taken: None, again: None }
    }

    /// Looks at it, and reads it when it is another and keeps still. Blocks.
    pub(super) fn look(&mut self, now: Instant) -> Option<Result<PolicyFiles, LoadError>> {
        let seen = Seen::of(&self.path);
        let before = self.seen.replace(seen.clone())?;
        if seen != before {
            let since = *self.restless.get_or_insert(now);
            if now.duration_since(since) < PATIENCE {
                return None;
            }
            if !seen.has_files_of(&before) {
                self.taken = None;
                return Some(Err(LoadError::Restless(self.path.clone())));
            }
        } else {
            self.restless = None;
        }
        let is_known = self.taken.as_ref().is_some_and(|taken| taken.has_files_of(&seen));
        if is_known && self.again.is_none_or(|again| now < again) {
            return None;
        }
        self.read(&seen, now)
    }

    fn read(&mut self, before: &Seen, now: Instant) -> Option<Result<PolicyFiles, LoadError>> {
        self.taken = Some(before.clone());
        let read = PolicyFiles::load(std::slice::from_ref(&self.path), self.key.as_ref());
        if Seen::of(&self.path) != *before {
            self.taken = None;
            return None;
        }
        self.again = read.as_ref().is_err_and(LoadError::may_pass).then(|| now + AGAIN);
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    /// Longer than the grain of the file system's clock.
    const GRAIN: Duration = Duration::from_millis(20);

    fn watched(path: &Path) -> Watched {
        Watched::new(path.to_owned(), None)
    }

    /// How often a look found something to read.
    fn reads(watched: &mut Watched, looks: usize) -> usize {
        (0..looks).filter(|_| watched.look(Instant::now()).is_some()).count()
    }

    #[test]
    fn what_is_read_is_what_is_watched() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::write(path("allow.rego"), "package a").unwrap();
        fs::create_dir(path("lib")).unwrap();
        let mut watched = watched(root.path());
        assert!(watched.look(Instant::now()).is_none(), "it may still be written");
        assert_eq!(reads(&mut watched, 5), 1);
        for (name, content, expected) in [
            ("note.txt", "no matter", 0),
            (".hidden.rego", "no matter", 0),
            ("lib/users.json", "no matter", 0),
            ("lib/data.json", "{}", 1),
            ("b.rego", "package b", 1),
            ("allow.rego", "package c", 1),
            (".manifest", "{}", 1),
        ] {
            thread::sleep(GRAIN);
            fs::write(path(name), content).unwrap();
            assert_eq!(reads(&mut watched, 4), expected, "{name}");
        }
        fs::remove_file(path("b.rego")).unwrap();
        assert_eq!(reads(&mut watched, 4), 1);
    }

    #[test]
    fn what_cannot_be_read_is_tried_again() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("policy");
        let mut watched = watched(&path);
        let now = Instant::now();
        let errors = |watched: &mut Watched, at| watched.look(at).map(|read| read.unwrap_err().to_string());
        assert_eq!(errors(&mut watched, now), None);
        assert!(errors(&mut watched, now).unwrap().contains("No such file"));
        assert_eq!(errors(&mut watched, now), None);
        assert!(errors(&mut watched, now + AGAIN).unwrap().contains("No such file"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("a.rego"), "package a").unwrap();
        assert_eq!(reads(&mut watched, 3), 1);
    }

    #[test]
    fn files_that_do_not_keep_still_are_told_of() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a.rego");
        let mut watched = watched(root.path());
        let start = Instant::now();
        let mut look = |text: &str, name: &Path, seconds| {
            thread::sleep(GRAIN);
            fs::write(name, text).unwrap();
            watched.look(start + Duration::from_secs(seconds)).map(|read| read.is_ok())
        };
        for (seconds, expected) in [(0, None), (1, None), (5, None), (6, Some(false))] {
            assert_eq!(look(&format!("package a{seconds}"), &file, seconds), expected, "{seconds}");
        }
        // Other files that come and go do not hold it up for ever.
        let other = |seconds: u64| root.path().join(format!(".{seconds}"));
        assert_eq!(look("", &other(7), 7), Some(true));
        assert_eq!(look("", &other(8), 8), None, "it is known");
    }

    /// A folder as Kubernetes mounts a ConfigMap, whose link is changed again and again.
    #[test]
    fn old_and_new_are_never_mixed() {
        const FILES: usize = 400;
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for folder in ["..a", "..b"] {
            fs::create_dir(path(folder)).unwrap();
            for number in 0..FILES {
                fs::write(path(folder).join(format!("{number}.rego")), format!("package x{folder}")).unwrap();
            }
        }
        symlink("..a", path("..data")).unwrap();
        for number in 0..FILES {
            symlink(format!("..data/{number}.rego"), path(&format!("{number}.rego"))).unwrap();
        }
        let (stop, folder) = (Arc::new(AtomicBool::new(false)), root.path().to_owned());
        let stopping = Arc::clone(&stop);
        let swapper = thread::spawn(move || {
            for round in 0_u64.. {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                symlink(if round.is_multiple_of(2) { "..b" } else { "..a" }, folder.join("..new")).unwrap();
                fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
                thread::sleep(GRAIN * 2 + Duration::from_micros(round * 7919 % 40_000));
            }
        });
        let mut watched = watched(root.path());
        let mut taken = 0;
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            thread::sleep(GRAIN);
            if let Some(Ok(files)) = watched.look(Instant::now()) {
                taken += 1;
                assert!(files.modules.iter().all(|module| module.rego == files.modules[0].rego), "a mix");
            }
        }
        stop.store(true, Ordering::Relaxed);
        swapper.join().unwrap();
        assert!(taken > 3, "{taken}");
    }
}
