//! Owners by the names of their accounts. Both modules take the attribute of `users.users` for that name.

use crate::nixos::import::declared::{Declaration, attribute};
use crate::nixos::import::note::ImportNote;
use std::collections::BTreeSet;

/// Puts the account in the place of an attribute that is called otherwise, and warns once for each.
pub(super) fn name(declaration: &mut Declaration) {
    let Declaration { entries, users, accounts, notes, .. } = declaration;
    let mut misnamed = BTreeSet::new();
    for entry in entries {
        let of_home = entry.home.as_mut().and_then(|home| home.user.as_mut());
        for owner in entry.owner.iter_mut().chain(of_home) {
            // Another account may be called like the attribute.
            if users.contains_key(owner.as_str()) {
                continue;
            }
            if let Some(account) = accounts.get(owner.as_str()) {
                misnamed.insert((std::mem::replace(owner, account.clone()), account));
            }
        }
    }
    notes.extend(misnamed.iter().map(|(user, account)| {
        let option = attribute(user);
        ImportNote::warning(format!(
            "users.users.{option}.name is {account}: the plan gives {account} what is theirs, but the module gives \
             new directories to {user}, which is no account, and fails; call the attribute {account}"
        ))
    }));
}
