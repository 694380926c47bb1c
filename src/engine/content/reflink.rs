//! Whether copies share the blocks of their sources (reflink).

/// When they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reflink {
    /// Where source and target are one file system that can do it; elsewhere the bytes are copied.
    #[default]
    Auto,
    /// Never: each copy has blocks of its own.
    Never,
    /// Always: a file whose blocks cannot be shared is a problem and is not copied.
    Always,
}
