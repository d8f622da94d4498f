//! The shape of an event as text: what stands in a lock file.
//!
//! Relies on: the types as they are written, and serde's attributes, which change what is stored. Never: looks into the types of
//! fields; a change inside one of them shows in the golden samples.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Field, Fields, Result, Type};

use crate::model::plain;

/// The shape of these fields, with what serde is told about what stands around them.
pub(crate) fn of(fields: &Fields, around: &str) -> String {
    let body = match fields {
        Fields::Unit => "{}".to_owned(),
        Fields::Named(named) if named.named.is_empty() => "{}".to_owned(),
        Fields::Named(named) => {
            let fields: Vec<_> = named.named.iter().map(field).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Fields::Unnamed(unnamed) => {
            let types: Vec<_> = unnamed
                .unnamed
                .iter()
                .map(|field| compact(&field.ty))
                .collect();
            format!("({})", types.join(", "))
        }
    };
    format!("{body}{around}")
}

fn field(field: &Field) -> String {
    let name = field.ident.as_ref().map(plain);
    let serde = serde_text(&field.attrs);
    let optional = serde.contains("default") || is_option(&field.ty);
    format!(
        "{}{}: {}{serde}",
        name.unwrap_or_default(),
        if optional { "?" } else { "" },
        compact(&field.ty),
    )
}

fn is_option(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path
        .segments
        .last()
        .is_some_and(|last| last.ident == "Option")
}

/// Serde's attributes, as text to append to a shape.
pub(crate) fn serde_text(attrs: &[Attribute]) -> String {
    attrs
        .iter()
        .filter(|attr| attr.path().is_ident("serde"))
        .map(|attr| format!(" #{}", compact(&attr.meta)))
        .collect()
}

/// Refuses serde attributes under which the stored form is not the fields alone.
pub(crate) fn refuse(attrs: &[Attribute], words: &[&str]) -> Result<()> {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
        let text = compact(&attr.meta);
        let inner = text.trim_start_matches("serde(").trim_end_matches(')');
        for part in inner.split(',') {
            let word = part.split('=').next().unwrap_or_default().trim();
            if words.contains(&word) {
                let what = format!(
                    "serde's `{word}` does not go with an event: the name is stored beside the data, and the data are the fields alone"
                );
                return Err(Error::new(attr.span(), what));
            }
        }
    }
    Ok(())
}

/// Tokens as text, with spaces only where two words meet or after a comma.
fn compact(tokens: &impl ToTokens) -> String {
    let spaced = tokens.to_token_stream().to_string();
    let mut text = String::with_capacity(spaced.len());
    let mut chars = spaced.chars().peekable();
    while let Some(c) = chars.next() {
        let between_words =
            text.chars().last().is_some_and(is_word) && chars.peek().copied().is_some_and(is_word);
        if !c.is_whitespace() || between_words || text.ends_with(',') {
            text.push(if c.is_whitespace() { ' ' } else { c });
        }
    }
    text
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use syn::{Data, DeriveInput, parse_quote};

    fn check(item: DeriveInput, expected: &str) {
        let Data::Struct(data) = item.data else {
            panic!("not a struct");
        };
        assert_eq!(super::of(&data.fields, ""), expected);
    }

    #[test]
    fn shapes_read_like_the_source() {
        check(
            parse_quote!(
                struct A;
            ),
            "{}",
        );
        check(
            parse_quote!(
                struct A {
                    id: OrderId,
                    items: Vec<(Sku, u32)>,
                    coupon: Option<Coupon>,
                }
            ),
            "{ id: OrderId, items: Vec<(Sku, u32)>, coupon?: Option<Coupon> }",
        );
        check(
            parse_quote!(
                struct A(Placed);
            ),
            "(Placed)",
        );
    }

    #[test]
    fn what_serde_is_told_is_part_of_it() {
        check(
            parse_quote!(
                struct A {
                    #[serde(default)]
                    total: u64,
                    #[serde(rename = "n")]
                    name: &'static str,
                }
            ),
            "{ total?: u64 #serde(default), name: &'static str #serde(rename=\"n\") }",
        );
    }
}
