//! Whether files changed: by what the file system says of each, links followed.
//!
//! Kubernetes replaces the target of a link when a ConfigMap changes, and editors write a new file in the old one's place.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Files that are looked at, at most; what is beyond counts as one.
const MAX_FILES: usize = 4096;
/// Folders inside one another.
const MAX_DEPTH: usize = 16;

/// One file: inode, time of change to the nanosecond, length.
type Stamp = (u64, i64, i64, u64);

/// All files of some paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps(Vec<(PathBuf, Option<Stamp>)>);

impl Stamps {
    /// As the files are now; what cannot be read counts, too.
    pub(super) fn of<'a>(paths: impl Iterator<Item = &'a Path>) -> Self {
        let mut stamps = Self::default();
        paths.for_each(|path| stamps.add(path, 0));
        stamps.0.sort();
        stamps
    }

    fn add(&mut self, path: &Path, depth: usize) {
        if self.0.len() >= MAX_FILES || depth > MAX_DEPTH {
            return;
        }
        let metadata = fs::metadata(path).ok();
        if metadata.as_ref().is_some_and(fs::Metadata::is_dir) {
            let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
            entries.for_each(|entry| self.add(&entry, depth + 1));
        } else {
            let stamp = metadata.map(|file| (file.ino(), file.mtime(), file.mtime_nsec(), file.size()));
            self.0.push((path.to_owned(), stamp));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_mounted_config_map_changes_by_its_link() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for (folder, text) in [("..one", "a"), ("..two", "b")] {
            fs::create_dir(path(folder)).unwrap();
            fs::write(path(folder).join("allow.rego"), text).unwrap();
        }
        symlink("..one", path("..data")).unwrap();
        symlink("..data/allow.rego", path("allow.rego")).unwrap();
        let stamps = || Stamps::of([root.path()].into_iter());
        let before = stamps();
        assert_eq!(before, stamps());
        symlink("..two", path("..new")).unwrap();
        fs::rename(path("..new"), path("..data")).unwrap();
        assert_ne!(before, stamps());
    }
}
