//! The derive macro for `Event`, in two dressings.
//!
//! What lives here: reading the attributes (`model`, `personal`), writing the code (`emit`), the lines of a lock file (`shape`) and what
//! to do about mistakes (`advice`). Relies on:
//! nothing of Factum; the code it writes names the framework by path. Never: reads or writes a file, and never takes a stored name
//! from a Rust name.

mod advice;
mod emit;
mod model;
mod personal;
mod shape;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input, parse_quote};

/// Derives `factum::framework::Event`, for crates that depend on the facade `factum`.
///
/// On an enum every variant carries `#[event(name = "…")]`; a struct carries it itself. Further: `version = 2` with
/// `upcast_from = OldShape`, with `raw` when raw steps bring old events up, or with nothing when version 1 has a variant of its own.
/// On fields: `#[tag]`, `#[tag(each)]` where there are many values, `#[tag(key = "…")]` for another key than the field's name, and
/// `#[personal(subject = field, category = "…")]` for what is about a person.
/// On the type itself: `lock = LOCK` (the text of the lock file), `golden = GOLDEN` (golden samples) and `steps = STEPS`.
/// The trait's documentation shows what is written, so that it can be written by hand.
#[proc_macro_derive(Event, attributes(event, tag, personal))]
pub fn event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input, &parse_quote!(::factum::framework))
}

/// Derives `factum_framework::Event`, for crates that depend on the framework alone, which exports it as `Event`.
#[proc_macro_derive(FrameworkEvent, attributes(event, tag, personal))]
pub fn framework_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input, &parse_quote!(::factum_framework))
}

fn expand(input: &DeriveInput, framework: &syn::Path) -> TokenStream {
    model::Model::of(input)
        .map(|model| emit::event(&model, framework))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
