//! The track that the target answers with: one compact line of JSON, its ID in front.
//!
//! Owns what a body looks like and how long it is. All but the ID is the same
//! for every ID, so that making a body is one copy.

use crate::ids;

const HEAD: &[u8] = b"{\"id\":\"";

const ARTIST: &str = "{\"external_urls\":{\"spotify\":\"https://open.spotify.example/artist/0TnOYISbd1XYRBk9myaseg\"},\
    \"href\":\"https://api.spotify.example/v1/artists/0TnOYISbd1XYRBk9myaseg\",\
    \"id\":\"0TnOYISbd1XYRBk9myaseg\",\"name\":\"Señorita \\\"Été\\\" Ночь\",\"type\":\"artist\",\
    \"uri\":\"spotify:artist:0TnOYISbd1XYRBk9myaseg\"}";

const MARKETS: &str = "AD AE AL AM AR AT AU BA BE BG BO BR CA CH CL CO CR CY CZ DE DK DO EC EE EG ES \
    FI FR GB GR GT HK HN HR HU ID IE IL IN IS IT JP KR LT LU LV MA MT MX MY NI NL NO NZ PA PE PH PL \
    PT PY RO RS SE SG SI SK SV TH TR TW UA US UY VN ZA";

/// The bodies of one length.
#[derive(Debug)]
pub struct Template {
    tail: Vec<u8>,
}

impl Template {
    /// Bodies of `length` bytes; less than the shortest gives the shortest.
    pub fn new(length: usize) -> Template {
        let full = HEAD.len() + ids::LENGTH + realistic("").len();
        let tail = if length >= full {
            realistic(&"x".repeat(length - full))
        } else {
            let least = HEAD.len() + ids::LENGTH + small("").len();
            small(&"x".repeat(length.saturating_sub(least)))
        };
        Template {
            tail: tail.into_bytes(),
        }
    }

    /// The body of this ID.
    pub fn body(&self, id: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(HEAD.len() + id.len() + self.tail.len());
        body.extend_from_slice(HEAD);
        body.extend_from_slice(id);
        body.extend_from_slice(&self.tail);
        body
    }

    /// The ID's number, if these are the bytes that its ID makes.
    pub fn number(&self, body: &[u8]) -> Option<u64> {
        let rest = body.strip_prefix(HEAD)?;
        let (id, tail) = rest.split_at_checked(ids::LENGTH)?;
        (tail == self.tail).then(|| ids::number(id))?
    }
}

fn small(padding: &str) -> String {
    format!("\",\"name\":\"{padding}\"}}")
}

fn realistic(padding: &str) -> String {
    let markets: Vec<String> = MARKETS.split(' ').map(|m| format!("\"{m}\"")).collect();
    let markets = markets.join(",");
    format!(
        "\",\"name\":\"夜の海 Harbour\",\"album\":{{\"album_type\":\"album\",\"artists\":[{ARTIST}],\
         \"available_markets\":[{markets}],\"href\":\"https://api.spotify.example/v1/albums/0tGPJ0bkWOUmH7MEOR77qc\",\
         \"id\":\"0tGPJ0bkWOUmH7MEOR77qc\",\"images\":[{{\"height\":640,\"url\":\"https://i.scdn.example/image/966ade7a8c43b72faa53822b74a899c675aaafee\",\"width\":640}},\
         {{\"height\":300,\"url\":\"https://i.scdn.example/image/107819f5dc557d5d0a4b216781c6ec1b2f3c5ab2\",\"width\":300}}],\
         \"name\":\"Cut To The Feeling\",\"release_date\":\"2017-05-26\",\"release_date_precision\":\"day\",\"total_tracks\":1,\"type\":\"album\"}},\
         \"artists\":[{ARTIST}],\"available_markets\":[{markets}],\"disc_number\":1,\"duration_ms\":207959,\"explicit\":false,\
         \"external_ids\":{{\"isrc\":\"USUM71703861\"}},\"is_local\":false,\"popularity\":63,\"preview_url\":null,\
         \"energy\":0.92100000000000004,\"tempo\":1.20e2,\"track_number\":1,\"type\":\"track\",\"comment\":\"{padding}\"}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_of_the_length_asked_for_and_known_again() {
        for length in [60, 1_000, 3_000, 20_000] {
            let template = Template::new(length);
            let body = template.body(&ids::id(7));
            assert_eq!(body.len(), length);
            assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
            assert_eq!(template.number(&body), Some(7));
            assert_eq!(template.number(&body[1..]), None);
        }
    }
}
