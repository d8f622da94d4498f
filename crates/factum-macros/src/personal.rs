//! Fields that are about a person: whom, and what kind of data.
//!
//! Relies on: the subject being another field of the same event. Never: hides or encrypts anything; what is written here is a map, for
//! whoever does.

use syn::spanned::Spanned;
use syn::{Attribute, Error, Field, Fields, Ident, LitStr, Result};

use crate::model::{Kind, plain};

/// A field that is about a person.
pub(crate) struct PersonalField {
    pub(crate) member: Ident,
    /// The field that says whom.
    pub(crate) subject: Ident,
    pub(crate) category: String,
}

const EXAMPLE: &str = "#[personal(subject = customer, category = \"contact\")]";

/// The personal fields of an event.
pub(crate) fn fields(fields: &Fields) -> Result<Vec<PersonalField>> {
    let mut personal = Vec::new();
    for field in fields {
        let mut attrs = field
            .attrs
            .iter()
            .filter(|attr| attr.path().is_ident("personal"));
        let Some(attr) = attrs.next() else { continue };
        if let Some(twice) = attrs.next() {
            return Err(Error::new(twice.span(), "a field is personal once"));
        }
        let found = one(field, attr)?;
        let known = fields
            .iter()
            .any(|field| field.ident.as_ref() == Some(&found.subject));
        if !known {
            let what = format!(
                "the subject is another field of the same event, and there is no field `{}`",
                found.subject
            );
            return Err(Error::new(found.subject.span(), what));
        }
        if found.subject == found.member {
            let what = format!(
                "what is personal is about someone who is named by another field, an id that says nothing by itself: {EXAMPLE}"
            );
            return Err(Error::new(attr.span(), what));
        }
        personal.push(found);
    }
    Ok(personal)
}

fn one(field: &Field, attr: &Attribute) -> Result<PersonalField> {
    let Some(member) = field.ident.clone() else {
        let what = "only a field with a name is personal";
        return Err(Error::new(attr.span(), what));
    };
    let (mut subject, mut category) = (None, None);
    if !matches!(attr.meta, syn::Meta::Path(_)) {
        attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("subject") {
                subject = Some(meta.value()?.parse::<Ident>()?);
            } else if meta.path.is_ident("category") {
                category = Some(meta.value()?.parse::<LitStr>()?.value());
            } else {
                return Err(meta.error("`personal` knows `subject = field` and `category = \"…\"`"));
            }
            Ok(())
        })?;
    }
    let (Some(subject), Some(category)) = (subject, category) else {
        let what =
            format!("say whom it is about, by a field, and what kind of data it is: {EXAMPLE}");
        return Err(Error::new(attr.span(), what));
    };
    Ok(PersonalField {
        member,
        subject,
        category,
    })
}

impl Kind {
    /// The fields that say whom personal fields are about, each once, in order.
    pub(crate) fn subjects(&self) -> Vec<&Ident> {
        let mut subjects: Vec<&Ident> = Vec::new();
        for field in &self.personal {
            if !subjects.contains(&&field.subject) {
                subjects.push(&field.subject);
            }
        }
        subjects
    }
}

/// The personal fields as text to append to a shape, as `EventKind::line` has it.
pub(crate) fn text(fields: &[PersonalField]) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let fields: Vec<_> = fields
        .iter()
        .map(|field| {
            let (name, subject) = (plain(&field.member), plain(&field.subject));
            format!("{name}: {} of {subject}", field.category)
        })
        .collect();
    format!(" #personal({})", fields.join(", "))
}
