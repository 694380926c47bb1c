//! What a file system cannot hold, or cannot tell.

use crate::engine::events::unpreserved::Unpreserved;

/// Its name for a person.
pub(in crate::cli) fn words(unpreserved: Unpreserved) -> &'static str {
    match unpreserved {
        Unpreserved::Owner => "owners",
        Unpreserved::Name => "names of owners",
        Unpreserved::Mode => "permission bits",
        Unpreserved::SetId => "set-user-ID and set-group-ID bits",
        Unpreserved::Mtime => "modification times",
        Unpreserved::Atime => "access times",
        Unpreserved::User => "user.* attributes",
        Unpreserved::Trusted => "trusted.* attributes",
        Unpreserved::Security => "security.* attributes",
        Unpreserved::Other => "attributes",
        Unpreserved::Acl => "POSIX ACLs",
        Unpreserved::UntoldXattrs => "extended attributes",
        Unpreserved::Flags | Unpreserved::UntoldFlags => "inode flags",
        Unpreserved::SpecialFlags => "inode flags of symlinks, FIFOs and device nodes",
        Unpreserved::Project | Unpreserved::UntoldProject => "project ids",
        Unpreserved::Holes => "holes",
        Unpreserved::Links => "hard links",
        Unpreserved::Apart => "this hard link",
        Unpreserved::Symlinks => "symlinks",
        Unpreserved::Special => "FIFOs and device nodes",
    }
}
