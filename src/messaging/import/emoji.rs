//! Emojis by the names that Slack and Mattermost have for them. Invariant: what comes out is one emoji of Unicode in the form in
//! which reactions have it, or the name of one of the team's own in the one form in which `own_name` knows it.

use emojis::{Emoji, SkinTone};
use unicode_normalization::UnicodeNormalization;

/// Characters of the name of an emoji of the team's own at most: Slack has 100, Mattermost 64.
const LONGEST: usize = 100;

/// What somebody has reacted with: an emoji of Unicode, or one of the team's own as `:name:`, by its name there. None: nothing is
/// called so.
pub fn called(name: &str) -> Option<String> {
    of(name).map(str::to_owned).or_else(|| Some(format!(":{}:", own_name(name)?)))
}

/// The name of an emoji of the team's own as it is compared; None: it is no name.
pub fn own_name(name: &str) -> Option<String> {
    let name: String = name.trim_matches(':').to_lowercase().nfc().collect();
    let odd = |letter: char| letter.is_control() || letter.is_whitespace() || letter == ':';
    ((1..=LONGEST).contains(&name.chars().count()) && !name.contains(odd)).then_some(name)
}

/// The emoji of Unicode that a name means; None: it is one of the team's own, or none.
pub fn of(name: &str) -> Option<&'static str> {
    let name = name.trim_matches(':');
    let (name, tone) = toned(name);
    let emoji = named(name)?;
    let emoji = match tone {
        Some(tone) => emoji.with_skin_tone(tone).unwrap_or(emoji),
        None => emoji,
    };
    Some(emoji.as_str())
}

/// `+1::skin-tone-3` as Slack has it, `+1_medium_light_skin_tone` as Mattermost.
fn toned(name: &str) -> (&str, Option<SkinTone>) {
    use SkinTone::{Dark, Light, Medium, MediumDark, MediumLight};
    if let Some((name, tone)) = name.split_once("::skin-tone-") {
        let tone = match tone {
            "2" => Light,
            "3" => MediumLight,
            "4" => Medium,
            "5" => MediumDark,
            "6" => Dark,
            _ => return (name, None),
        };
        return (name, Some(tone));
    }
    // The longer ones first.
    let tones = [
        ("_medium_light_skin_tone", MediumLight),
        ("_medium_dark_skin_tone", MediumDark),
        ("_medium_skin_tone", Medium),
        ("_light_skin_tone", Light),
        ("_dark_skin_tone", Dark),
    ];
    let found = tones.iter().find_map(|(end, tone)| Some((name.strip_suffix(end)?, Some(*tone))));
    found.unwrap_or((name, None))
}

fn named(name: &str) -> Option<&'static Emoji> {
    if name.is_empty() || name.len() > 60 {
        return None;
    }
    // What is written as it is.
    if !name.is_ascii() {
        return emojis::get(name);
    }
    let name = name.to_ascii_lowercase();
    let alias = ALIASES.iter().find(|(theirs, _)| *theirs == name);
    if let Some((_, emoji)) = alias {
        return emojis::get(emoji);
    }
    if let Some(found) = emojis::get_by_shortcode(&name) {
        return Some(found);
    }
    if let Some(country) = name.strip_prefix("flag-").or_else(|| name.strip_prefix("flag_")) {
        return flag(country);
    }
    let plain = name.replace('-', "_");
    // Who does it comes first there, and sometimes last here: `male-technologist`, `man-running`.
    let people = [("male_", "man"), ("man_", "man"), ("female_", "woman"), ("woman_", "woman")];
    let person = people.iter().find_map(|(theirs, ours)| Some((*ours, plain.strip_prefix(theirs)?)));
    let spoken = person.map(|(who, does)| [format!("{who}_{does}"), format!("{does}_{who}")]);
    let spoken = spoken.iter().flatten().find_map(|name| emojis::get_by_shortcode(name));
    emojis::get_by_shortcode(&plain).or(spoken)
}

/// Of a country by its two letters (ISO 3166).
fn flag(country: &str) -> Option<&'static Emoji> {
    if country.len() != 2 || !country.bytes().all(|letter| letter.is_ascii_lowercase()) {
        return None;
    }
    let letters: Option<String> =
        country.bytes().map(|letter| char::from_u32(0x1f1e6 + u32::from(letter - b'a'))).collect();
    emojis::get(&letters?)
}

/// What Slack and Mattermost call otherwise than GitHub does.
const ALIASES: [(&str, &str); 40] = [
    ("simple_smile", "🙂"),
    ("thinking_face", "🤔"),
    ("hugging_face", "🤗"),
    ("nerd", "🤓"),
    ("robot_face", "🤖"),
    ("face_with_rolling_eyes", "🙄"),
    ("face_with_raised_eyebrow", "🤨"),
    ("rolling_on_the_floor_laughing", "🤣"),
    ("zany_face", "🤪"),
    ("star-struck", "🤩"),
    ("exploding_head", "🤯"),
    ("shocked_face_with_exploding_head", "🤯"),
    ("face_with_monocle", "🧐"),
    ("face_with_hand_over_mouth", "🤭"),
    ("shushing_face", "🤫"),
    ("face_with_thermometer", "🤒"),
    ("face_with_head_bandage", "🤕"),
    ("face_with_cowboy_hat", "🤠"),
    ("sneezing_face", "🤧"),
    ("face_vomiting", "🤮"),
    ("face_with_symbols_on_mouth", "🤬"),
    ("serious_face_with_symbols_covering_mouth", "🤬"),
    ("smiling_face_with_3_hearts", "🥰"),
    ("white_frowning_face", "☹️"),
    ("the_horns", "🤘"),
    ("sign_of_the_horns", "🤘"),
    ("i_love_you_hand_sign", "🤟"),
    ("spock-hand", "🖖"),
    ("hand_with_index_and_middle_fingers_crossed", "🤞"),
    ("raised_hand_with_fingers_splayed", "🖐️"),
    ("reversed_hand_with_middle_finger_extended", "🖕"),
    ("face_palm", "🤦"),
    ("heavy_heart_exclamation_mark_ornament", "❣️"),
    ("knife_fork_plate", "🍽️"),
    ("first_place_medal", "🥇"),
    ("second_place_medal", "🥈"),
    ("third_place_medal", "🥉"),
    ("sports_medal", "🏅"),
    ("rain_cloud", "🌧️"),
    ("thunder_cloud_and_rain", "⛈️"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emoji_is_known_by_the_names_of_both() {
        for (name, expected) in [
            ("+1", "👍"),
            ("thumbsup", "👍"),
            (":tada:", "🎉"),
            ("heart", "❤️"),
            ("+1::skin-tone-3", "👍🏼"),
            ("wave::skin-tone-6", "👋🏿"),
            ("+1_medium_light_skin_tone", "👍🏼"),
            ("wave_dark_skin_tone", "👋🏿"),
            ("flag-de", "🇩🇪"),
            ("male-technologist", "👨‍💻"),
            ("man-shrugging", "🤷‍♂️"),
            ("woman-running", "🏃‍♀️"),
            ("simple_smile", "🙂"),
            ("white_check_mark", "✅"),
            ("🎉", "🎉"),
        ] {
            assert_eq!(of(name), Some(expected), "{name}");
        }
        for none in ["", "party_parrot", "flag-xx1", "::skin-tone-3", "+1+1", &"x".repeat(100), "flag-é"] {
            assert_eq!(of(none), None, "{none}");
        }
        for (name, emoji) in ALIASES {
            assert!(emojis::get(emoji).is_some(), "{name}");
        }
    }

    #[test]
    fn what_is_none_of_unicode_is_the_teams_own() {
        for (name, expected) in [
            ("+1::skin-tone-3", "👍🏼"),
            ("Party_Parrot", ":party_parrot:"),
            (":größe:", ":größe:"),
            ("gro\u{308}ße", ":größe:"),
            ("ぺこり", ":ぺこり:"),
        ] {
            assert_eq!(called(name).as_deref(), Some(expected), "{name}");
        }
        for none in ["", ":", "a b", "a:b", "a\u{0}", "a\u{202f}b", &"x".repeat(101)] {
            assert_eq!(called(none), None, "{none}");
        }
    }
}
