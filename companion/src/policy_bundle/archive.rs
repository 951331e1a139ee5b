//! The archive of a bundle: tar (POSIX ustar, pax, GNU) in gzip (RFC 1952).
//!
//! Refused: more than [`MAX_SIZE`] bytes when unpacked, more than [`MAX_FILES`] files, anything but files and folders,
//! names that lead out of the archive or are spelled in an unusual way, and the same name twice.

use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use tar::{EntryType, Header};

/// Bytes of an archive, unpacked.
pub(crate) const MAX_SIZE: usize = 32 << 20;
/// Files in an archive.
const MAX_FILES: usize = 1024;
/// Bytes of a path in an archive: what every form of tar can hold.
const MAX_PATH: usize = 100;

/// Files by their path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Archive {
    files: BTreeMap<String, Vec<u8>>,
}

/// Why an archive is not taken, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// Not gzip, or not tar.
    #[error("not a tar archive in gzip: {0}")]
    Form(#[from] io::Error),
    /// A bomb, or just too large.
    #[error("the archive has more than {MAX_SIZE} bytes when unpacked")]
    TooLarge,
    /// Too many files.
    #[error("the archive has more than {MAX_FILES} files")]
    TooMany,
    /// A link, a device, …
    #[error("`{0}` is neither a file nor a folder")]
    Kind(String),
    /// A name that is not plain.
    #[error("the name `{0}` is not plain: {1}")]
    Name(String, &'static str),
    /// The same name twice.
    #[error("`{0}` is in the archive twice")]
    Twice(String),
}

impl Archive {
    /// Unpacks an archive.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let unpacked = unpack(bytes)?;
        let mut archive = Self::default();
        for entry in tar::Archive::new(unpacked.as_slice()).entries()? {
            let mut entry = entry?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    let mut content = Vec::new();
                    entry.read_to_end(&mut content)?;
                    archive.add(&path, content)?;
                }
                EntryType::Directory | EntryType::XGlobalHeader => {}
                _ => return Err(ArchiveError::Kind(path)),
            }
        }
        Ok(archive)
    }

    /// One file more.
    pub(super) fn add(&mut self, path: &str, content: Vec<u8>) -> Result<(), ArchiveError> {
        let path = plain(path)?;
        if self.files.len() >= MAX_FILES {
            return Err(ArchiveError::TooMany);
        }
        match self.files.insert(path.to_owned(), content) {
            None => Ok(()),
            Some(_) => Err(ArchiveError::Twice(path.to_owned())),
        }
    }

    /// The files, in the order of their paths.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, content)| (path.as_str(), content.as_slice()))
    }

    /// Packs the files; the same files are the same bytes.
    pub(super) fn write(&self) -> Result<Vec<u8>, ArchiveError> {
        let gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        let mut tar = tar::Builder::new(gzip);
        for (path, content) in &self.files {
            let mut header = Header::new_ustar();
            header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            tar.append_data(&mut header, path, content.as_slice())?;
        }
        let mut gzip = tar.into_inner()?;
        gzip.flush()?;
        Ok(gzip.finish()?)
    }
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let mut unpacked = Vec::new();
    let limit = u64::try_from(MAX_SIZE).unwrap_or(u64::MAX) + 1;
    MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut unpacked)?;
    if unpacked.len() > MAX_SIZE { Err(ArchiveError::TooLarge) } else { Ok(unpacked) }
}

/// A path as it is known here. OPA writes it with a `/` in front, tar often with `./`.
fn plain(path: &str) -> Result<&str, ArchiveError> {
    let relative = path.strip_prefix("./").or_else(|| path.strip_prefix('/')).unwrap_or(path);
    let odd = |why| Err(ArchiveError::Name(path.escape_default().to_string(), why));
    if relative.len() > MAX_PATH {
        return odd("longer than 100 bytes");
    }
    if relative.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return odd("an empty part, `.` or `..`");
    }
    if relative.contains(['\\', '\u{fffd}']) || relative.chars().any(char::is_control) {
        return odd("a backslash, a control character or bytes that are not UTF-8");
    }
    Ok(relative)
}
