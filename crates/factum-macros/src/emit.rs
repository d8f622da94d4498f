//! The code of an implementation of `Event`.
//!
//! Relies on: a checked model. Never: writes a name that could be the user's; everything is named by its full path.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::Path;

use crate::model::{Kind, Model, TagField};

pub(crate) fn event(model: &Model, framework: &Path) -> TokenStream {
    let Model { name, generics, .. } = model;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let kinds = model.kinds.iter().map(|kind| kind_literal(kind, framework));
    let steps = model
        .steps
        .iter()
        .map(|steps| quote!(const STEPS: &'static [#framework::versions::RawStep] = #steps;));
    let which = which(model);
    let tags = tags(model, framework);
    let encode = if model.is_enum {
        quote!(#framework::codec::encode_variant(self))
    } else {
        quote!(#framework::codec::encode(self))
    };
    let arms = (0u32..)
        .zip(&model.kinds)
        .map(|(index, kind)| decode_arm(model, kind, index, framework));
    let checks = checks(model, framework);
    quote! {
        #[automatically_derived]
        impl #impl_generics #framework::Event for #name #type_generics #where_clause {
            const KINDS: &'static [#framework::EventKind] = &[#(#kinds),*];
            #(#steps)*

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
                    #(#arms)*
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
    quote!(#framework::EventKind::new(#name, #version, #shape))
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
    if model.kinds.iter().all(|kind| kind.tags.is_empty()) {
        return quote!(::core::result::Result::Ok(::std::vec::Vec::new()));
    }
    let arms = model.kinds.iter().map(|kind| {
        let members = kind.tags.iter().map(|tag| {
            let (member, local) = (&tag.member, local(tag));
            quote!(#member: #local)
        });
        let pattern = match &kind.variant {
            Some(variant) => quote!(Self::#variant { #(#members,)* .. }),
            None => quote!(Self { #(#members,)* .. }),
        };
        let pushes = kind.tags.iter().map(|tag| push(tag, framework));
        quote!(#pattern => { #(#pushes)* })
    });
    quote! {
        let mut tags = ::std::vec::Vec::new();
        match self { #(#arms)* }
        ::core::result::Result::Ok(tags)
    }
}

fn local(tag: &TagField) -> syn::Ident {
    format_ident!("tag_{}", tag.member)
}

fn push(tag: &TagField, framework: &Path) -> TokenStream {
    let (key, local) = (&tag.key, local(tag));
    if tag.each {
        quote!(for value in #local { #framework::codec::push_tag(&mut tags, #key, value)?; })
    } else {
        quote!(#framework::codec::push_tag(&mut tags, #key, #local)?;)
    }
}

fn decode_arm(model: &Model, kind: &Kind, index: u32, framework: &Path) -> TokenStream {
    let Kind { name, version, .. } = kind;
    let now = if model.is_enum {
        quote!(#framework::codec::decode_variant(#index, name, version, data))
    } else {
        quote!(#framework::codec::decode(name, version, data))
    };
    let older = kind.upcast_from.iter().map(|old| {
        quote! {
            if version < #version {
                let old = <#old as #framework::Event>::decode(name, version, data)?;
                return ::core::result::Result::Ok(<Self as #framework::UpcastFrom<#old>>::upcast(old));
            }
        }
    });
    quote! {
        #name => {
            if version == #version {
                return #now;
            }
            #(#older)*
            ::core::result::Result::Err(#framework::Error::unknown_version(name, version, #version))
        }
    }
}

/// What is checked when the code is compiled: chains without holes, and the lock file.
fn checks(model: &Model, framework: &Path) -> TokenStream {
    let chains = model.kinds.iter().filter_map(|kind| {
        let old = kind.upcast_from.as_ref()?;
        let (name, version) = (&kind.name, kind.version);
        let before = version - 1;
        let what = format!(
            "`upcast_from` of {name} version {version} must be the shape of {name} version {before}, or there is a hole in the chain"
        );
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
    let Kind {
        name,
        version,
        shape,
        ..
    } = kind;
    let line = format!("{name} v{version} {shape}");
    let start = format!("{name} v{version} ");
    let missing = format!(
        "{name} version {version} is not in the lock file. If that is what will be stored from now on, add this line:\n{line}"
    );
    let changed = changed(kind, &line);
    quote_spanned! { kind.span =>
        const _: () = {
            ::core::assert!(#framework::lock::has_line(#text, #start, false), "{}", #missing);
            ::core::assert!(#framework::lock::has_line(#text, #line, true), "{}", #changed);
        };
    }
}

/// What to do when a shape is no longer what is locked.
fn changed(kind: &Kind, line: &str) -> String {
    let (name, old) = (&kind.name, kind.version);
    let new = old + 1;
    let ident = kind
        .variant
        .as_ref()
        .map_or_else(|| name.clone(), ToString::to_string);
    format!(
        "the shape of {name} version {old} is not what the lock file has, and events of that shape may be stored already.\n\
         Either put the shape back, or make it version {new}: keep the old shape and say how it becomes the new one:\n\n\
         #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]\n\
         #[event(name = \"{name}\", version = {old})]\n\
         struct {ident}V{old} {{ /* the fields as the lock file has them */ }}\n\n\
         impl UpcastFrom<{ident}V{old}> for /* this type */ {{\n    \
             fn upcast(old: {ident}V{old}) -> Self {{ /* … */ }}\n\
         }}\n\n\
         #[event(name = \"{name}\", version = {new}, upcast_from = {ident}V{old})]\n\n\
         Only if a field was added that is optional, so that old events still decode, replace the line in the lock file by:\n{line}"
    )
}
