//! The code of an implementation of `Event`.
//!
//! Relies on: a checked model. Never: writes a name that could be the user's; everything is named by its full path.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::Path;

use crate::advice;
use crate::model::{Kind, Model, TagField, plain};

pub(crate) fn event(model: &Model, framework: &Path) -> TokenStream {
    let Model { name, generics, .. } = model;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let kinds = model.kinds.iter().map(|kind| kind_literal(kind, framework));
    let steps = model
        .steps
        .iter()
        .map(|steps| quote!(const STEPS: &'static [#framework::versions::RawStep] = #steps;));
    let text = |name: &str, path: &Option<Path>| {
        let name = format_ident!("{name}");
        path.as_ref().map(|path| {
            quote!(const #name: ::core::option::Option<&'static str> = ::core::option::Option::Some(#path);)
        })
    };
    let (lock, golden) = (text("LOCK", &model.lock), text("GOLDEN", &model.golden));
    let which = which(model);
    let tags = tags(model, framework);
    let encode = if model.is_enum {
        quote!(#framework::codec::encode_variant(self))
    } else {
        quote!(#framework::codec::encode(self))
    };
    let arms = decode_arms(model, framework);
    let checks = checks(model, framework);
    quote! {
        #[automatically_derived]
        impl #impl_generics #framework::Event for #name #type_generics #where_clause {
            const KINDS: &'static [#framework::EventKind] = &[#(#kinds),*];
            #(#steps)*
            #lock
            #golden

            fn kind(&self) -> &'static #framework::EventKind {
                &<Self as #framework::Event>::KINDS[#which]
            }

            fn tags(&self) -> ::core::result::Result<::std::vec::Vec<#framework::Tag>, #framework::Error> {
                #tags
            }

            fn encode(&self) -> ::core::result::Result<::std::vec::Vec<u8>, #framework::Error> {
                #encode
            }

            fn decode(name: &str, version: u32, data: &[u8]) -> ::core::result::Result<Self, #framework::Error> {
                match name {
                    #arms
                    _ => ::core::result::Result::Err(#framework::Error::unknown_event(name, <Self as #framework::Event>::KINDS)),
                }
            }
        }

        #checks
    }
}

fn kind_literal(kind: &Kind, framework: &Path) -> TokenStream {
    let Kind {
        name,
        version,
        shape,
        ..
    } = kind;
    let new = quote!(#framework::EventKind::new(#name, #version, #shape));
    if kind.personal.is_empty() {
        return new;
    }
    let fields = kind.personal.iter().map(|field| {
        let (name, subject) = (plain(&field.member), plain(&field.subject));
        let category = &field.category;
        quote!(#framework::PersonalField::new(#name, #subject, #category))
    });
    quote!(#new.with_personal(&[#(#fields),*]))
}

fn which(model: &Model) -> TokenStream {
    if !model.is_enum {
        return quote!(0);
    }
    let arms = model.kinds.iter().enumerate().map(|(index, kind)| {
        let variant = &kind.variant;
        quote!(Self::#variant { .. } => #index)
    });
    quote!(match self { #(#arms),* })
}

fn tags(model: &Model, framework: &Path) -> TokenStream {
    let has_tags = |kind: &Kind| !kind.tags.is_empty() || !kind.personal.is_empty();
    if !model.kinds.iter().any(has_tags) {
        return quote!(::core::result::Result::Ok(::std::vec::Vec::new()));
    }
    let arms = model.kinds.iter().map(|kind| {
        let subjects = kind.subjects();
        let tagged = kind.tags.iter().map(|tag| &tag.member);
        let members: BTreeSet<_> = tagged.chain(subjects.iter().copied()).collect();
        let members = members.into_iter().map(|member| {
            let local = local(member);
            quote!(#member: #local)
        });
        let pattern = match &kind.variant {
            Some(variant) => quote!(Self::#variant { #(#members,)* .. }),
            None => quote!(Self { #(#members,)* .. }),
        };
        let pushes = kind.tags.iter().map(|tag| push(tag, framework));
        let subjects = subjects.into_iter().map(|subject| {
            let local = local(subject);
            quote!(#framework::codec::push_tag(&mut tags, #framework::event::SUBJECT_TAG, #local)?;)
        });
        quote!(#pattern => { #(#pushes)* #(#subjects)* })
    });
    quote! {
        let mut tags = ::std::vec::Vec::new();
        match self { #(#arms)* }
        ::core::result::Result::Ok(tags)
    }
}

fn local(member: &syn::Ident) -> syn::Ident {
    format_ident!("tag_{}", member)
}

fn push(tag: &TagField, framework: &Path) -> TokenStream {
    let (key, local) = (&tag.key, local(&tag.member));
    if tag.each {
        quote!(for value in #local { #framework::codec::push_tag(&mut tags, #key, value)?; })
    } else {
        quote!(#framework::codec::push_tag(&mut tags, #key, #local)?;)
    }
}

/// One arm for each name: its versions that have a variant of their own, then the chains that lead up to them.
fn decode_arms(model: &Model, framework: &Path) -> TokenStream {
    let mut by_name: BTreeMap<&str, Vec<(u32, &Kind)>> = BTreeMap::new();
    for (index, kind) in (0u32..).zip(&model.kinds) {
        by_name.entry(&kind.name).or_default().push((index, kind));
    }
    let arms = by_name.into_iter().map(|(name, mut kinds)| {
        kinds.sort_by_key(|(_, kind)| kind.version);
        let newest = kinds.last().map_or(1, |(_, kind)| kind.version);
        let own = kinds.iter().map(|(index, kind)| {
            let version = kind.version;
            let now = if model.is_enum {
                quote!(#framework::codec::decode_variant(#index, name, version, data))
            } else {
                quote!(#framework::codec::decode(name, version, data))
            };
            quote!(if version == #version { return #now; })
        });
        let older = kinds.iter().filter_map(|(_, kind)| {
            let (old, version) = (kind.upcast_from.as_ref()?, kind.version);
            Some(quote! {
                if version < #version {
                    let old = <#old as #framework::Event>::decode(name, version, data)?;
                    return ::core::result::Result::Ok(<Self as #framework::UpcastFrom<#old>>::upcast(old));
                }
            })
        });
        quote! {
            #name => {
                #(#own)*
                #(#older)*
                ::core::result::Result::Err(#framework::Error::unknown_version(name, version, #newest))
            }
        }
    });
    quote!(#(#arms)*)
}

/// What is checked when the code is compiled: chains without holes, and the lock file.
fn checks(model: &Model, framework: &Path) -> TokenStream {
    let chains = model.kinds.iter().filter_map(|kind| {
        let old = kind.upcast_from.as_ref()?;
        let (name, before) = (&kind.name, kind.version - 1);
        let what = advice::wrong_link(kind);
        Some(quote_spanned! { kind.span =>
            const _: () = ::core::assert!(
                #framework::versions::is_kind(<#old as #framework::Event>::KINDS, #name, #before),
                "{}", #what
            );
        })
    });
    let locks = model.lock.iter().flat_map(|text| {
        model
            .kinds
            .iter()
            .map(move |kind| lock(kind, text, framework))
    });
    quote!(#(#chains)* #(#locks)*)
}

fn lock(kind: &Kind, text: &Path, framework: &Path) -> TokenStream {
    let line = kind.line();
    let start = format!("{} v{} ", kind.name, kind.version);
    let missing = advice::missing(kind);
    let changed = advice::changed(kind);
    quote_spanned! { kind.span =>
        const _: () = {
            ::core::assert!(#framework::lock::has_line(#text, #start, false), "{}", #missing);
            ::core::assert!(#framework::lock::has_line(#text, #line, true), "{}", #changed);
        };
    }
}
