//! What a type with the derive says about itself.
//!
//! Relies on: syn. Never: guesses; what is missing is an error that shows what to write.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Ident, LitInt, LitStr, Path, Result, Type};

use crate::shape;

/// A type that is an event, or a choice of events.
pub(crate) struct Model {
    pub(crate) name: Ident,
    pub(crate) generics: syn::Generics,
    pub(crate) is_enum: bool,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) lock: Option<Path>,
    pub(crate) steps: Option<Path>,
}

/// One event: a variant, or a struct.
pub(crate) struct Kind {
    /// The variant; `None` for a struct.
    pub(crate) variant: Option<Ident>,
    pub(crate) span: Span,
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) upcast_from: Option<Type>,
    pub(crate) shape: String,
    pub(crate) tags: Vec<TagField>,
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
    steps: Option<Path>,
}

impl Model {
    pub(crate) fn of(input: &DeriveInput) -> Result<Self> {
        let own = Written::of(&input.attrs)?;
        shape::refuse(
            &input.attrs,
            &["tag", "untagged", "content", "remote", "transparent"],
        )?;
        let around = shape::serde_text(&input.attrs);
        let kinds = match &input.data {
            Data::Enum(data) => data
                .variants
                .iter()
                .map(|variant| {
                    let written = Written::of(&variant.attrs)?;
                    shape::refuse(&variant.attrs, &["skip", "other", "untagged"])?;
                    let around = format!("{around}{}", shape::serde_text(&variant.attrs));
                    let ident = Some(variant.ident.clone());
                    Kind::of(&written, ident, &variant.ident, &variant.fields, &around)
                })
                .collect::<Result<Vec<_>>>()?,
            Data::Struct(data) => {
                vec![Kind::of(&own, None, &input.ident, &data.fields, &around)?]
            }
            Data::Union(_) => return Err(Error::new(input.span(), "a union is not an event")),
        };
        refuse_twins(&kinds)?;
        Ok(Self {
            name: input.ident.clone(),
            generics: input.generics.clone(),
            is_enum: matches!(input.data, Data::Enum(_)),
            kinds,
            lock: own.lock,
            steps: own.steps,
        })
    }
}

fn refuse_twins(kinds: &[Kind]) -> Result<()> {
    for (index, kind) in kinds.iter().enumerate() {
        if kinds
            .iter()
            .take(index)
            .any(|other| other.name == kind.name)
        {
            let what = format!("the name {:?} stands for another event already", kind.name);
            return Err(Error::new(kind.span, what));
        }
    }
    Ok(())
}

impl Kind {
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
        if version > 1 && !bridged {
            return Err(Error::new(
                ident.span(),
                hole(&name.value(), ident, version),
            ));
        }
        if version == 1 && bridged {
            let what = "version 1 has nothing before it: raise the version";
            return Err(Error::new(ident.span(), what));
        }
        Ok(Self {
            variant,
            span: name.span(),
            name: name.value(),
            version,
            upcast_from: written.upcast_from.clone(),
            shape: shape::of(fields, around),
            tags: tags(fields)?,
        })
    }
}

/// What to write when a version has no bridge to the one before it.
fn hole(name: &str, ident: &Ident, version: u32) -> String {
    let before = version - 1;
    format!(
        "nothing turns version {before} of {name} into version {version}.\n\
         Keep the old shape as a struct, say how it becomes the new one, and name it with `upcast_from`:\n\n\
         #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]\n\
         #[event(name = \"{name}\", version = {before})]\n\
         struct {ident}V{before} {{ /* the fields as they were */ }}\n\n\
         impl UpcastFrom<{ident}V{before}> for /* this type */ {{\n    \
             fn upcast(old: {ident}V{before}) -> Self {{ /* … */ }}\n\
         }}\n\n\
         #[event(name = \"{name}\", version = {version}, upcast_from = {ident}V{before})]\n\n\
         or write `raw`, when raw steps bring it up"
    )
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
                key: member.to_string(),
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
                    "steps" => written.steps = Some(meta.value()?.parse()?),
                    _ => {
                        return Err(meta.error(
                            "`event` knows name, version, upcast_from, raw, lock and steps",
                        ));
                    }
                }
                Ok(())
            })?;
        }
        Ok(written)
    }
}
