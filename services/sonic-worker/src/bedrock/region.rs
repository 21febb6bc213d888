use std::{fmt, sync::Arc};

/// A region of AWS, by its name, such as `us-east-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Region(Arc<str>);

impl Region {
    /// As it is written on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Region {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A region and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionConfig {
    /// Its name.
    pub region: Region,
    /// An endpoint of one's own, such as that of a VPC; `None`: AWS's.
    pub endpoint: Option<String>,
}

/// Reads a comma list of `REGION` and `REGION=ENDPOINT`, home first.
///
/// # Errors
/// In words that complete "BEDROCK_REGIONS: …", with everything that is wrong.
pub fn read_regions(list: &str) -> Result<Vec<RegionConfig>, String> {
    let mut regions: Vec<RegionConfig> = Vec::new();
    let mut problems = Vec::new();
    for (index, entry) in list.split(',').enumerate() {
        let (name, endpoint) = match entry.split_once('=') {
            Some((name, endpoint)) => (name.trim(), Some(endpoint.trim())),
            None => (entry.trim(), None),
        };
        let number = index + 1;
        if !is_region(name) {
            problems.push(format!("entry {number} is no region such as us-east-1"));
        }
        if regions.iter().any(|earlier| earlier.region.as_str() == name) {
            problems.push(format!("entry {number} names the region of an earlier one"));
        }
        let endpoint = endpoint.map(|url| {
            read_endpoint(url).unwrap_or_else(|problem| {
                problems.push(format!("the endpoint of entry {number}: {problem}"));
                String::new()
            })
        });
        regions.push(RegionConfig { region: Region::from(name), endpoint });
    }
    if problems.is_empty() { Ok(regions) } else { Err(problems.join("; ")) }
}

/// The URL of an endpoint, without a slash at its end.
///
/// # Errors
/// In words that complete "NAME: …", if it has no scheme or host.
pub fn read_endpoint(url: &str) -> Result<String, String> {
    let is_http = |uri: &http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    match url.parse().is_ok_and(|uri| is_http(&uri)) {
        true => Ok(url.trim_end_matches('/').to_owned()),
        false => Err("expected a URL such as https://bedrock-runtime.us-east-1.amazonaws.com".to_owned()),
    }
}

/// Words of letters and a number, such as `us-gov-east-1`.
fn is_region(name: &str) -> bool {
    let mut parts = name.rsplit('-');
    let is_number = parts.next().is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
    let words: Vec<_> = parts.collect();
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    is_number && words.len() >= 2 && words.iter().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str, endpoint: Option<&str>) -> RegionConfig {
        RegionConfig { region: Region::from(name), endpoint: endpoint.map(str::to_owned) }
    }

    #[test]
    fn regions_are_read_in_order_each_with_an_endpoint_of_its_own_or_without() {
        let read = read_regions("us-east-1, us-gov-west-1=https://vpce-1.example.com/").unwrap();
        assert_eq!(read, [region("us-east-1", None), region("us-gov-west-1", Some("https://vpce-1.example.com"))]);
    }

    #[test]
    fn everything_that_is_wrong_with_a_list_is_told_at_once_without_repeating_it() {
        let problem = read_regions("us_east_1,,us-west-2,us-west-2=vpce-1.secret.com,US-EAST-1,eu-1").unwrap_err();
        for part in ["entry 1 is no", "entry 2 is no", "entry 4 names", "endpoint of entry 4", "entry 5", "entry 6"] {
            assert!(problem.contains(part), "{part}: {problem}");
        }
        assert!(!problem.contains("entry 3") && !problem.contains("secret"), "{problem}");
    }
}
