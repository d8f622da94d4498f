//! What a type with the derive says about itself.
//!
//! Relies on: syn. Never: guesses; what is missing is an error that shows what to write.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Ident, LitInt, LitStr, Path, Result, Type};

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
