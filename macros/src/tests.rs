//! What `#[entity]` writes, and what it says when it is written wrongly.

use crate::expand;
use proc_macro2::TokenStream;

/// The whole of what follows from a small entity, for those who want to know and to see a change of the macro.
#[test]
fn the_expansion_of_a_small_entity() {
    let attributes: TokenStream =
        "resource = Team, plural = teams, wall = shared, has_many(members: Member.team_id)".parse().unwrap();
    let item: TokenStream = r#"
        /// People who work together.
        pub struct Team {
            pub id: Id<Team>,
            /// What they are called.
            #[entity(create, update, filter, order, search, max = 60)]
            pub name: String,
            /// How many they may be.
            #[entity(create, update, sum, group, range(1, 99), default = 9)]
            pub size: i32,
            /// The id of the team that they are part of.
            #[entity(create, update, filter, belongs_to = Team as parent)]
            pub parent_id: Option<Id<Team>>,
        }
    "#
    .parse()
    .unwrap();
    let file = syn::parse2(expand(attributes, item).unwrap()).unwrap();
    insta::assert_snapshot!("team", prettyplease::unparse(&file));
}

#[test]
fn what_a_struct_says_itself_is_not_added() {
    let attributes: TokenStream = "resource = Team, plural = teams, wall = shared".parse().unwrap();
    let item: TokenStream = r#"
        pub struct Team {
            pub id: Id<Team>,
            /// Who made it.
            #[entity(filter, belongs_to = Member as creator)]
            pub created_by: Option<Id<Member>>,
        }
    "#
    .parse()
    .unwrap();
    let file: syn::File = syn::parse2(expand(attributes, item).unwrap()).unwrap();
    let of = |item: &syn::Item| match item {
        syn::Item::Struct(item) if item.ident == "Team" => Some(item.fields.clone()),
        _ => None,
    };
    let fields = file.items.iter().find_map(of).unwrap();
    let named: Vec<String> = fields.iter().filter_map(|field| Some(field.ident.as_ref()?.to_string())).collect();
    assert_eq!(named, ["id", "created_by", "created_at", "updated_at", "version"]);
}

/// The fault of a mistake and where it stands.
fn fault(attributes: &str, item: &str) -> (String, String) {
    let attributes = attributes.parse::<TokenStream>().unwrap();
    let fault = expand(attributes, item.parse().unwrap()).expect_err("a mistake");
    (fault.to_string(), fault.span().source_text().unwrap_or_default())
}

#[test]
fn a_mistake_is_told_where_it_stands() {
    let good = "resource = Team, plural = teams, wall = shared";
    let sound = "pub struct Team { pub id: Id<Team> }";
    let with = |field: &str| format!("pub struct Team {{ pub id: Id<Team>, {field} }}");
    let doc = "#[doc = \"D.\"]";
    for (attributes, item, message, place) in [
        ("plural = teams, wall = shared", sound.to_owned(), "say `resource = …`", "Team"),
        ("resource = Team, wall = shared", sound.to_owned(), "say `plural = …`", "Team"),
        ("resource = Team, plural = teams", sound.to_owned(), "say `wall = owned`, `wall = shared` or", "Team"),
        (
            "resource = Team, colour = red",
            sound.to_owned(),
            "`colour` is not known here; known are resource,",
            "colour",
        ),
        ("resource = Team, plural = teams, wall = mine", sound.to_owned(), "wall is `owned` or `shared`", "mine"),
        ("resource = Team, plural = teams, wall = owned", sound.to_owned(), "needs a field `owner_id`", "Team"),
        ("resource = \"Team\"", sound.to_owned(), "expected identifier", "\"Team\""),
        ("has_many(members: Member)", sound.to_owned(), "expected `.`", ""),
        (good, "pub struct Team(Id<Team>);".into(), "a struct with named fields", "Team"),
        (
            good,
            "pub struct Team { #[doc = \"D.\"] pub name: Option<String> }".into(),
            "the first field of an entity is `pub id",
            "Team",
        ),
        (good, "pub enum Team { A }".into(), "expected `struct`", "enum"),
        (good, with("pub name: Option<String>"), "describe the field", "name"),
        (
            good,
            with(&format!("{doc} #[entity(creat)] pub name: String")),
            "`creat` is not known here; known are create,",
            "creat",
        ),
        (good, with(&format!("{doc} #[entity(max = \"9\")] pub name: String")), "expected integer literal", "\"9\""),
        (good, with(&format!("{doc} #[entity(range(1))] pub size: i32")), "expected `,`", ""),
        (
            good,
            with(&format!("{doc} #[entity(belongs_to = Team)] pub parent: Option<Id<Team>>")),
            "name the relation: `belongs_to = T as name`",
            "belongs_to = Team",
        ),
        (good, with(&format!("{doc} pub size: i32")), "no input sets this field", "size"),
    ] {
        let (said, at) = fault(attributes, &item);
        assert!(said.contains(message), "{said}, not {message}");
        // An unexpected end has no text.
        assert!(place.is_empty() || at == place, "{said}: at `{at}`, not `{place}`");
    }
}
