//! What a type with the derive says about itself.
//!
//! Relies on: syn. Never: guesses; what is missing is an error that shows what to write.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, Ident, LitInt, LitStr, Path, Result, Type, Variant,
};

use crate::personal::{self, PersonalField};
use crate::{advice, shape};

/// A type that is an event, or a choice of events.
pub(crate) struct Model {
    pub(crate) name: Ident,
    pub(crate) generics: syn::Generics,
    pub(crate) is_enum: bool,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) lock: Option<Path>,
    pub(crate) golden: Option<Path>,
    pub(crate) steps: Option<Path>,
}

/// One event: a variant, or a struct.
pub(crate) struct Kind {
    /// The variant; `None` for a struct.
    pub(crate) variant: Option<Ident>,
    /// The variant, or the struct.
    pub(crate) ident: Ident,
    pub(crate) span: Span,
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) upcast_from: Option<Type>,
    /// Raw steps bring older versions up.
    pub(crate) raw: bool,
    pub(crate) shape: String,
    pub(crate) tags: Vec<TagField>,
    pub(crate) personal: Vec<PersonalField>,
}

impl Kind {
    /// The line that stands for it in a lock file, as `EventKind::line` has it.
    pub(crate) fn line(&self) -> String {
        let Self {
            name,
            version,
            shape,
            ..
        } = self;
        let personal = personal::text(&self.personal);
        format!("{name} v{version} {shape}{personal}")
    }
}

/// The name as it is stored: without the `r#` that lets a keyword be a name.
pub(crate) fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

/// A field that is a tag.
pub(crate) struct TagField {
    pub(crate) member: Ident,
    pub(crate) key: String,
    pub(crate) each: bool,
}

#[derive(Default)]
struct Written {
    name: Option<LitStr>,
    version: Option<u32>,
    upcast_from: Option<Type>,
    raw: bool,
    lock: Option<Path>,
    golden: Option<Path>,
    steps: Option<Path>,
}

/// What serde may not be told of an event: the stored form would not be its fields.
const REFUSED: &[&str] = &["tag", "untagged", "content", "remote", "transparent"];
/// Nor of an enum of events: another type would be stored, in which the variants are not known.
const REFUSED_ON_ENUMS: &[&str] = &["from", "try_from", "into"];
/// Nor of one of its variants: serde counts only those that it reads, and an event is read by the number of its variant.
const REFUSED_ON_VARIANTS: &[&str] = &[
    "skip",
    "skip_serializing",
    "skip_deserializing",
    "other",
    "untagged",
];

impl Model {
    pub(crate) fn of(input: &DeriveInput) -> Result<Self> {
        let own = Written::of(&input.attrs)?;
        shape::refuse(&input.attrs, REFUSED)?;
        let around = shape::serde_text(&input.attrs);
        let kinds = match &input.data {
            Data::Enum(data) => {
                shape::refuse(&input.attrs, REFUSED_ON_ENUMS)?;
                let variants = data.variants.iter();
                let kinds = variants.map(|variant| Kind::of_variant(variant, &around));
                kinds.collect::<Result<Vec<_>>>()?
            }
            Data::Struct(data) => {
                vec![Kind::of(&own, None, &input.ident, &data.fields, &around)?]
            }
            Data::Union(_) => return Err(Error::new(input.span(), "a union is not an event")),
        };
        refuse_twins(&kinds)?;
        refuse_holes(&kinds)?;
        Ok(Self {
            name: input.ident.clone(),
            generics: input.generics.clone(),
            is_enum: matches!(input.data, Data::Enum(_)),
            kinds,
            lock: own.lock,
            golden: own.golden,
            steps: own.steps,
        })
    }
}

/// A name may stand for several versions, each with a variant of its own, but a name and a version stand for one event.
fn refuse_twins(kinds: &[Kind]) -> Result<()> {
    for (index, kind) in kinds.iter().enumerate() {
        let twin = kinds
            .iter()
            .take(index)
            .any(|other| other.name == kind.name && other.version == kind.version);
        if twin {
            let what = format!(
                "{} version {} stands for another event already: choose another name, or another version to handle both",
                kind.name, kind.version
            );
            return Err(Error::new(kind.span, what));
        }
    }
    Ok(())
}

/// Every version above the first has a bridge from the one before, or that one has a variant of its own.
fn refuse_holes(kinds: &[Kind]) -> Result<()> {
    for kind in kinds.iter().filter(|kind| kind.version > 1) {
        let bridged = kind.upcast_from.is_some() || kind.raw;
        let handled = kinds
            .iter()
            .any(|other| other.name == kind.name && other.version + 1 == kind.version);
        if !bridged && !handled {
            let what = advice::hole(
                &kind.name,
                &kind.ident,
                kind.version,
                kind.variant.is_some(),
            );
            return Err(Error::new(kind.ident.span(), what));
        }
        if bridged && handled {
            let before = kind.version - 1;
            let what = format!(
                "{} version {before} has a variant of its own, so nothing is left to bring up: take out `upcast_from` or `raw` here, or that variant",
                kind.name
            );
            return Err(Error::new(kind.ident.span(), what));
        }
    }
    Ok(())
}

impl Kind {
    fn of_variant(variant: &Variant, around: &str) -> Result<Self> {
        let written = Written::of(&variant.attrs)?;
        shape::refuse(&variant.attrs, REFUSED_ON_VARIANTS)?;
        let around = format!("{around}{}", shape::serde_text(&variant.attrs));
        let ident = Some(variant.ident.clone());
        Self::of(&written, ident, &variant.ident, &variant.fields, &around)
    }

    fn of(
        written: &Written,
        variant: Option<Ident>,
        ident: &Ident,
        fields: &Fields,
        around: &str,
    ) -> Result<Self> {
        let Some(name) = &written.name else {
            let what = format!(
                "say under which name this event is stored, in the past tense and for ever: #[event(name = \"{ident}\")]"
            );
            return Err(Error::new(ident.span(), what));
        };
        let version = written.version.unwrap_or(1);
        let bridged = written.upcast_from.is_some() || written.raw;
        if version == 1 && bridged {
            let what = "version 1 has nothing before it: write `version = 2`, or take out `upcast_from` and `raw`";
            return Err(Error::new(ident.span(), what));
        }
        Ok(Self {
            variant,
            ident: ident.clone(),
            span: name.span(),
            name: name.value(),
            version,
            upcast_from: written.upcast_from.clone(),
            raw: written.raw,
            shape: shape::of(fields, around),
            tags: tags(fields)?,
            personal: personal::fields(fields)?,
        })
    }
}

fn tags(fields: &Fields) -> Result<Vec<TagField>> {
    let mut tags = Vec::new();
    for field in fields {
        for attr in field
            .attrs
            .iter()
            .filter(|attr| attr.path().is_ident("tag"))
        {
            let Some(member) = field.ident.clone() else {
                return Err(Error::new(attr.span(), "only a field with a name is a tag"));
            };
            let mut tag = TagField {
                key: plain(&member),
                member,
                each: false,
            };
            if !matches!(attr.meta, syn::Meta::Path(_)) {
                attr.parse_nested_meta(|meta| {
                    if meta.path.is_ident("each") {
                        tag.each = true;
                        Ok(())
                    } else if meta.path.is_ident("key") {
                        tag.key = meta.value()?.parse::<LitStr>()?.value();
                        Ok(())
                    } else {
                        Err(meta.error("a tag knows `each` and `key = \"…\"`"))
                    }
                })?;
            }
            tags.push(tag);
        }
    }
    Ok(tags)
}

impl Written {
    fn of(attrs: &[Attribute]) -> Result<Self> {
        let mut written = Self::default();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("event")) {
            attr.parse_nested_meta(|meta| {
                let Some(key) = meta.path.get_ident().map(ToString::to_string) else {
                    return Err(meta.error("not a word that `event` knows"));
                };
                match key.as_str() {
                    "name" => written.name = Some(meta.value()?.parse()?),
                    "version" => {
                        let version: LitInt = meta.value()?.parse()?;
                        let number = version.base10_parse::<u32>()?;
                        if number == 0 {
                            return Err(Error::new(version.span(), "versions begin at 1"));
                        }
                        written.version = Some(number);
                    }
                    "upcast_from" => written.upcast_from = Some(meta.value()?.parse()?),
                    "raw" => written.raw = true,
                    "lock" => written.lock = Some(meta.value()?.parse()?),
                    "golden" => written.golden = Some(meta.value()?.parse()?),
                    "steps" => written.steps = Some(meta.value()?.parse()?),
                    _ => {
                        return Err(meta.error(
                            "`event` knows name, version, upcast_from and raw; on the type itself also lock, golden and steps",
                        ));
                    }
                }
                Ok(())
            })?;
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;
    use quote::quote;
    use syn::parse_quote;

    use super::Model;

    fn check(on_type: &TokenStream, on_variant: &TokenStream, refused: Option<&str>) {
        let error = Model::of(&parse_quote! {
            #on_type
            enum Order {
                #[event(name = "OrderPlaced")]
                Placed { total: u64 },
                #on_variant
                #[event(name = "OrderShipped")]
                Shipped,
            }
        });
        let error = error.err().map(|error| error.to_string());
        match refused {
            None => assert_eq!(error, None),
            Some(word) => {
                let error = error.unwrap_or_else(|| panic!("`{word}` is let through"));
                let expected = format!("serde's `{word}` does not go with an event");
                assert!(error.contains(&expected), "{error}");
            }
        }
    }

    fn check_type(attr: &TokenStream, refused: Option<&str>) {
        check(attr, &quote!(), refused);
    }

    fn check_variant(attr: &TokenStream, refused: Option<&str>) {
        check(&quote!(), attr, refused);
    }

    #[test]
    fn what_changes_the_stored_form_is_refused() {
        check_type(&quote!(#[serde(rename_all = "snake_case")]), None);
        check_type(&quote!(#[serde(tag = "type")]), Some("tag"));
        check_type(
            &quote!(#[serde(deny_unknown_fields, untagged)]),
            Some("untagged"),
        );
        check_type(&quote!(#[serde(from = "Old")]), Some("from"));
        check_type(&quote!(#[serde(try_from = "Old")]), Some("try_from"));
        check_type(&quote!(#[serde(into = "Old")]), Some("into"));
    }

    #[test]
    fn what_shifts_the_numbers_of_variants_is_refused() {
        check_variant(&quote!(#[serde(rename = "skip")]), None);
        check_variant(&quote!(#[serde(alias = "a,skip,b")]), None);
        check_variant(&quote!(#[serde(skip)]), Some("skip"));
        check_variant(
            &quote!(#[serde(skip_serializing)]),
            Some("skip_serializing"),
        );
        check_variant(
            &quote!(#[serde(skip_deserializing)]),
            Some("skip_deserializing"),
        );
        check_variant(&quote!(#[serde(rename = "x", other)]), Some("other"));
    }
}
