//! What to do about a mistake: the texts that a build fails with.
//!
//! Relies on: a checked model. Never: says only what is wrong; every text ends with what to write.

use syn::Ident;

use crate::model::{Kind, plain};

/// A version has no bridge from the one before it.
pub(crate) fn hole(name: &str, ident: &Ident, version: u32, is_variant: bool) -> String {
    let before = version - 1;
    let upcaster = upcaster(name, ident, before, version, "the fields as they were");
    let or_variant = if is_variant {
        format!(
            ";\nor give version {before} a variant of its own in this enum, when the fold should handle both"
        )
    } else {
        String::new()
    };
    format!(
        "nothing turns version {before} of {name} into version {version}.\n\
         Keep the old shape as a struct, say how it becomes the new one, and name it with `upcast_from`:\n\n\
         {upcaster}\n\n\
         or write `raw`, when raw steps bring it up{or_variant}"
    )
}

/// An event's line is not in the lock file.
pub(crate) fn missing(kind: &Kind) -> String {
    let (name, version, line) = (&kind.name, kind.version, kind.line());
    format!(
        "{name} version {version} is not in the lock file. If that is what will be stored from now on, add this line:\n{line}"
    )
}

/// An event's shape is no longer what is locked.
pub(crate) fn changed(kind: &Kind) -> String {
    let (name, old, line) = (&kind.name, kind.version, kind.line());
    let new = old + 1;
    let fields = "the fields as the lock file has them";
    let upcaster = upcaster(name, &kind.ident, old, new, fields);
    format!(
        "the shape of {name} version {old} is not what the lock file has, and events of that shape may be stored already.\n\
         Either put the shape back, or make it version {new}: keep the old shape and say how it becomes the new one:\n\n\
         {upcaster}\n\n\
         Only if old events still decode as they are, because an optional field was added or a field was marked as personal, replace the line in the lock file by:\n{line}"
    )
}

/// `upcast_from` names something that is not the version before.
pub(crate) fn wrong_link(kind: &Kind) -> String {
    let (name, version, before) = (&kind.name, kind.version, kind.version - 1);
    format!(
        "`upcast_from` of {name} version {version} must be the shape of {name} version {before}, or there is a hole in the chain.\n\
         Name a struct that carries #[event(name = \"{name}\", version = {before})]"
    )
}

/// The old shape, the upcaster, and the attribute that names it.
fn upcaster(name: &str, ident: &Ident, old: u32, new: u32, fields: &str) -> String {
    let ident = plain(ident);
    let from_before = if old > 1 {
        format!(", upcast_from = {ident}V{}", old - 1)
    } else {
        String::new()
    };
    format!(
        "#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]\n\
         #[event(name = \"{name}\", version = {old}{from_before})]\n\
         struct {ident}V{old} {{ /* {fields} */ }}\n\n\
         impl UpcastFrom<{ident}V{old}> for /* this type */ {{\n    \
             fn upcast(old: {ident}V{old}) -> Self {{ /* … */ }}\n\
         }}\n\n\
         #[event(name = \"{name}\", version = {new}, upcast_from = {ident}V{old})]"
    )
}
