//! From a layer's bytes to its unpacked directory: decompress, hash on the way, unpack aside, sync, rename. A directory
//! `layers/<hex of the diff id>` is therefore always whole and verified.

use super::blob::{HashingReader, hex_of};
use super::unpack::{UnpackError, unpack};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a layer is not there.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// See [`UnpackError`].
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The contents are not what the image says.
    #[error("layer has digest sha256:{found}, the image says {expected}")]
    Digest {
        /// The diff id in the image's configuration.
        expected: String,
        /// What was unpacked.
        found: String,
    },
    /// The store's own directories.
    #[error("cannot {what} {}", path.display())]
    Store {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A name that no other unpacking uses.
pub(super) fn aside(directory: &Path) -> PathBuf {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    directory.join(format!(".new-{}-{number}", std::process::id()))
}

/// Unpacks `stream` (plain, gzip or zstd) to `layers/<hex>` unless it is there; gives the directory's bytes.
pub(super) fn unpack_layer(layers: &Path, diff_id: &str, stream: impl Read) -> Result<u64, LayerError> {
    let hex = hex_of(diff_id).unwrap_or_default();
    let target = layers.join(hex);
    if target.is_dir() {
        return Ok(0);
    }
    let aside = aside(layers);
    let store = |what, path: &Path| {
        let path = path.to_owned();
        move |source| LayerError::Store { what, path, source }
    };
    fs::create_dir(&aside).map_err(store("make", &aside))?;
    let result = unpack_to(&aside, diff_id, stream).and_then(|bytes| {
        sync(&aside).map_err(store("sync", &aside))?;
        match fs::rename(&aside, &target) {
            // Another image's pull was faster with the same layer.
            Err(_) if target.is_dir() => {
                let _ = fs::remove_dir_all(&aside);
                Ok(bytes)
            }
            result => result.map(|()| bytes).map_err(store("rename", &aside)),
        }
    });
    if result.is_err() {
        let _ = fs::remove_dir_all(&aside);
    }
    result
}

fn unpack_to(directory: &Path, diff_id: &str, stream: impl Read) -> Result<u64, LayerError> {
    let malformed = |error| LayerError::Unpack(UnpackError::Malformed(error));
    let mut stream = HashingReader::new(decompress(stream).map_err(malformed)?);
    let done = unpack(&mut stream, directory)?;
    // What follows the archive's end belongs to the digest too.
    io::copy(&mut stream, &mut io::sink()).map_err(malformed)?;
    let found = stream.hex();
    if hex_of(diff_id) != Some(found.as_str()) {
        return Err(LayerError::Digest { expected: diff_id.to_owned(), found });
    }
    Ok(done.bytes)
}

/// One sync for all files of the layer; renamed after it, so that a crash leaves a whole directory or none.
fn sync(directory: &Path) -> io::Result<()> {
    rustix::fs::syncfs(File::open(directory)?)?;
    Ok(())
}

/// By the first bytes, as media types lie.
pub(super) fn decompress<'a>(stream: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    let start = stream.fill_buf()?;
    if start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(stream)));
    }
    if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Ok(Box::new(zstd::stream::read::Decoder::with_buffer(stream)?));
    }
    Ok(Box::new(stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("gzip");
        encoder.finish().expect("gzip")
    }

    fn tar() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        tar.append_data(&mut header, "f", b"abc".as_slice()).expect("tar");
        tar.into_inner().expect("tar")
    }

    #[test]
    fn every_compression_gives_the_same_layer_and_a_wrong_digest_none() {
        let layers = std::env::temp_dir().join(format!("runtime-layer-{}", std::process::id()));
        fs::create_dir_all(&layers).expect("scratch");
        let plain = tar();
        let diff_id = format!("sha256:{}", crate::directory::hex(&Sha256::digest(&plain)));
        let (front, back) = plain.split_at(100);
        let members = [gzip(front), gzip(back)].concat();
        let zstd = zstd::encode_all(plain.as_slice(), 1).expect("zstd");
        for stream in [plain.clone(), gzip(&plain), members, zstd] {
            assert_eq!(unpack_layer(&layers, &diff_id, stream.as_slice()).expect("layer"), 3);
            let directory = layers.join(&diff_id[7..]);
            assert_eq!(fs::read(directory.join("f")).expect("f"), b"abc");
            fs::remove_dir_all(directory).expect("remove");
        }
        let wrong = format!("sha256:{}", "0".repeat(64));
        let error = unpack_layer(&layers, &wrong, plain.as_slice()).expect_err("wrong digest");
        assert!(matches!(error, LayerError::Digest { .. }));
        assert_eq!(fs::read_dir(&layers).expect("layers").count(), 0, "nothing is left behind");
        fs::remove_dir_all(layers).expect("remove");
    }
}
