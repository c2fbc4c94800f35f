//! The track that an ID makes.
//!
//! Owns what a track looks like. Must never draw from anything but the ID (the
//! same ID is the same bytes, in every run and for every seed).

use bytes::Bytes;
use fastrand::Rng;
use serde::Serialize;
use std::io;
use xxhash_rust::xxh3::xxh3_64;

const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const MARKETS: &str = "AD AE AL AM AR AT AU BA BE BG BO BR CA CH CL CO CR CY CZ DE DK DO EC EE \
    EG ES FI FR GB GR GT HK HN HR HU ID IE IL IN IS IT JP KR LT LU LV MA MT MX MY NI NL NO NZ PA \
    PE PH PL PT PY RO RS SE SG SI SK SV TH TR TW UA US UY VN ZA";

const FIRST: [&str; 12] = [
    "Silent",
    "Golden",
    "Midnight",
    "Paper",
    "Été",
    "Señorita",
    "Broken",
    "Electric",
    "Über",
    "Slow",
    "Northern",
    "Żółty",
];

const SECOND: [&str; 12] = [
    "River",
    "Garden",
    "Signal",
    "Café",
    "Mountain",
    "夜の海",
    "Letter",
    "Harbour",
    "Ночь",
    "Machine",
    "Sisters",
    "Smörgås",
];

/// Whether this is an ID as Spotify makes them: 22 base-62 characters.
pub(super) fn is_track_id(id: &str) -> bool {
    id.len() == 22 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A name for any ID. Some have commas, quotes or letters beyond ASCII.
pub(super) fn name(id: &str) -> String {
    title(&mut Rng::with_seed(xxh3_64(id.as_bytes())))
}

/// The bytes of the track that this ID makes.
pub(super) fn body(id: &str) -> io::Result<Bytes> {
    Ok(serde_json::to_vec_pretty(&Track::of(id))?.into())
}

#[derive(Serialize)]
struct Links {
    spotify: String,
}

#[derive(Serialize)]
struct Isrc {
    isrc: String,
}

#[derive(Clone, Serialize)]
struct Image {
    height: u32,
    url: String,
    width: u32,
}

#[derive(Serialize)]
struct Artist {
    external_urls: Links,
    href: String,
    id: String,
    name: String,
    r#type: &'static str,
    uri: String,
}

#[derive(Serialize)]
struct Album {
    album_type: &'static str,
    artists: Vec<Artist>,
    available_markets: Vec<&'static str>,
    external_urls: Links,
    href: String,
    id: String,
    images: Vec<Image>,
    name: String,
    release_date: String,
    release_date_precision: &'static str,
    total_tracks: u32,
    r#type: &'static str,
    uri: String,
}

/// A track; its fields in the order of the real API, which is the alphabet's.
#[derive(Serialize)]
struct Track<'a> {
    album: Album,
    artists: Vec<Artist>,
    available_markets: Vec<&'static str>,
    disc_number: u32,
    duration_ms: u32,
    explicit: bool,
    external_ids: Isrc,
    external_urls: Links,
    href: String,
    id: &'a str,
    is_local: bool,
    name: String,
    popularity: u32,
    preview_url: Option<String>,
    track_number: u32,
    r#type: &'static str,
    uri: String,
}

impl<'a> Track<'a> {
    fn of(id: &'a str) -> Self {
        let mut rng = Rng::with_seed(xxh3_64(id.as_bytes()));
        let rng = &mut rng;
        let name = title(rng);
        let markets: Vec<&str> = MARKETS.split(' ').filter(|_| rng.u8(0..5) > 0).collect();
        let total_tracks = rng.u32(1..=18);
        let artists = |rng: &mut Rng, count| (0..count).map(|_| Artist::draw(rng)).collect();
        let count = rng.usize(1..=3);
        Self {
            album: Album::draw(rng, markets.clone(), total_tracks),
            artists: artists(rng, count),
            available_markets: markets,
            disc_number: rng.u32(1..=2),
            duration_ms: rng.u32(90_000..420_000),
            explicit: rng.bool(),
            external_ids: Isrc {
                isrc: format!("US{}{:07}", upper(rng, 3), rng.u32(0..10_000_000)),
            },
            external_urls: links("track", id),
            href: href("tracks", id),
            id,
            is_local: false,
            name,
            popularity: rng.u32(0..=100),
            preview_url: rng
                .bool()
                .then(|| format!("https://p.scdn.co/mp3-preview/{}", hex(rng))),
            track_number: rng.u32(1..=total_tracks),
            r#type: "track",
            uri: format!("spotify:track:{id}"),
        }
    }
}

impl Album {
    fn draw(rng: &mut Rng, available_markets: Vec<&'static str>, total_tracks: u32) -> Self {
        let id = identifier(rng);
        let image = |rng: &mut Rng, side| Image {
            height: side,
            url: format!("https://i.scdn.co/image/{}", hex(rng)),
            width: side,
        };
        Self {
            album_type: if total_tracks == 1 { "single" } else { "album" },
            artists: vec![Artist::draw(rng)],
            available_markets,
            external_urls: links("album", &id),
            href: href("albums", &id),
            images: [640, 300, 64].map(|side| image(rng, side)).to_vec(),
            name: title(rng),
            release_date: format!(
                "{}-{:02}-{:02}",
                rng.u32(1960..2025),
                rng.u32(1..=12),
                rng.u32(1..=28)
            ),
            release_date_precision: "day",
            total_tracks,
            r#type: "album",
            uri: format!("spotify:album:{id}"),
            id,
        }
    }
}

impl Artist {
    fn draw(rng: &mut Rng) -> Self {
        let id = identifier(rng);
        Self {
            external_urls: links("artist", &id),
            href: href("artists", &id),
            name: format!("The {} {}", word(rng, &FIRST), word(rng, &SECOND)),
            r#type: "artist",
            uri: format!("spotify:artist:{id}"),
            id,
        }
    }
}

fn title(rng: &mut Rng) -> String {
    let (first, second) = (word(rng, &FIRST), word(rng, &SECOND));
    match rng.u8(0..8) {
        0 => format!("{first}, {second}, Pt. {}", rng.u8(1..=4)),
        1 => format!("{first} \"{second}\""),
        2 => format!("\"{first}\", {second} – Live"),
        _ => format!("{first} {second}"),
    }
}

fn word(rng: &mut Rng, words: &[&'static str; 12]) -> &'static str {
    rng.choice(words).copied().unwrap_or_default()
}

fn identifier(rng: &mut Rng) -> String {
    (0..22)
        .filter_map(|_| rng.choice(LETTERS))
        .map(|letter| char::from(*letter))
        .collect()
}

fn upper(rng: &mut Rng, count: usize) -> String {
    (0..count)
        .filter_map(|_| rng.choice(LETTERS.iter().take(36)))
        .map(|letter| char::from(*letter))
        .collect()
}

fn hex(rng: &mut Rng) -> String {
    format!("{:032x}{:08x}", rng.u128(..), rng.u32(..))
}

fn links(kind: &str, id: &str) -> Links {
    Links {
        spotify: format!("https://open.spotify.com/{kind}/{id}"),
    }
}

fn href(kind: &str, id: &str) -> String {
    format!("https://api.spotify.com/v1/{kind}/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_same_id_is_the_same_track_of_about_3_kb() {
        let mut rng = Rng::with_seed(1);
        let (mut commas, mut quotes, mut letters, mut total) = (0, 0, 0, 0);
        for _ in 0..200 {
            let id = identifier(&mut rng);
            assert!(is_track_id(&id));
            let body = body(&id).unwrap();
            assert_eq!(body, super::body(&id).unwrap());
            total += body.len();
            assert!((2_000..5_000).contains(&body.len()), "{}", body.len());
            assert!(body.starts_with(b"{\n  \"album\": {\n    \"album_type\""));
            let track: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(track["id"], id.as_str());
            assert_eq!(track["album"]["images"].as_array().unwrap().len(), 3);
            assert_eq!(track["external_ids"]["isrc"].as_str().unwrap().len(), 12);
            let markets = track["available_markets"].as_array().unwrap().len();
            assert!((45..75).contains(&markets), "{markets}");
            let title = track["name"].as_str().unwrap();
            assert_eq!(title, name(&id));
            commas += usize::from(title.contains(','));
            quotes += usize::from(title.contains('"'));
            letters += usize::from(!title.is_ascii());
        }
        assert!((2_700..4_000).contains(&(total / 200)), "{}", total / 200);
        assert!(commas > 10 && quotes > 10 && letters > 10);
    }
}
