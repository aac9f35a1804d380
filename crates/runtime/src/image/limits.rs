//! How large images may be. Each limit is far above what real images have and far below what would hurt a host.

/// Bytes of a manifest or an index.
pub(super) const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// Bytes of an image configuration.
pub(super) const CONFIG_BYTES_MAX: u64 = 8 << 20;
/// Bytes of one layer, unpacked.
pub(super) const LAYER_BYTES_MAX: u64 = 64 << 30;
/// Bytes of one layer on the wire.
pub(super) const BLOB_BYTES_MAX: u64 = 32 << 30;
/// Files, directories and links of one layer.
pub(super) const ENTRIES_MAX: u64 = 2_000_000;
/// Bytes of one path.
pub(super) const PATH_BYTES_MAX: usize = 4096;
/// Layers of one image.
pub(super) const LAYERS_MAX: usize = 499;
/// Members of an image archive.
pub(super) const ARCHIVE_MEMBERS_MAX: usize = 100_000;
/// Layers fetched at the same time.
pub(super) const DOWNLOADS_MAX: usize = 3;
