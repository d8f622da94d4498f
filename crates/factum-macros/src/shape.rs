//! The shape of an event as text: what stands in a lock file.
//!
//! Relies on: the types as they are written, and serde's attributes, which change what is stored. Never: looks into the types of
//! fields; a change inside one of them shows in the golden samples.

use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Field, Fields, Meta, Result, Token, Type};

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
                .map(|field| format!("{}{}", compact(&field.ty), serde_text(&field.attrs)))
                .collect();
            format!("({})", types.join(", "))
        }
    };
    format!("{body}{around}")
}

fn field(field: &Field) -> String {
    let name = field.ident.as_ref().map(plain);
    let serde = serde_text(&field.attrs);
    let optional = words(&field.attrs).contains(&"default".to_owned()) || is_option(&field.ty);
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
pub(crate) fn refuse(attrs: &[Attribute], refused: &[&str]) -> Result<()> {
    for attr in attrs {
        let found = words(std::slice::from_ref(attr));
        if let Some(word) = found.iter().find(|word| refused.contains(&word.as_str())) {
            let what = format!(
                "serde's `{word}` does not go with an event: the name is stored beside the data, and the data are the fields alone"
            );
            return Err(Error::new(attr.span(), what));
        }
    }
    Ok(())
}

/// The words that serde is told, without what they are set to. What serde itself does not understand it refuses in its own words.
fn words(attrs: &[Attribute]) -> Vec<String> {
    let serde = attrs.iter().filter(|attr| attr.path().is_ident("serde"));
    serde
        .filter_map(|attr| {
            attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .ok()
        })
        .flatten()
        .filter_map(|meta| meta.path().get_ident().map(plain))
        .collect()
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

    #[test]
    fn what_serde_is_told_of_a_field_without_a_name_is_part_of_it() {
        check(
            parse_quote!(
                struct A(#[serde(with = "hex")] Vec<u8>, u64);
            ),
            "(Vec<u8> #serde(with=\"hex\"), u64)",
        );
    }

    #[test]
    fn a_field_is_optional_by_a_word_and_not_by_a_part_of_one() {
        check(
            parse_quote!(
                struct A {
                    #[serde(rename = "default_price")]
                    price: u64,
                    #[serde(alias = "a, default", default = "one")]
                    factor: u64,
                }
            ),
            "{ price: u64 #serde(rename=\"default_price\"), factor?: u64 #serde(alias=\"a, default\", default=\"one\") }",
        );
    }
}
