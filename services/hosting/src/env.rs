//! Configuration from the environment: every variable is read before anything fails, so that one start reports all
//! mistakes.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use secrecy::SecretString;

/// The environment variables of a process, or of a test.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// The variables of this process. Values that are not UTF-8 are left out.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of a variable. Empty counts as unset, because compose files pass unset variables on as empty ones.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Reads variables one after the other and remembers what was wrong with each.
///
/// A value that failed is replaced by a stand-in that never leaves this type: [`Reader::finish`] gives the built
/// configuration only if nothing failed.
#[derive(Debug)]
pub struct Reader<'a> {
    env: &'a Env,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    /// Reads from `env`.
    pub fn new(env: &'a Env) -> Self {
        Self { env, mistakes: Vec::new() }
    }

    /// The parsed value, or `None` when unset or wrong. `expected` completes "expected …" in the report.
    pub fn optional<T: FromStr>(&mut self, name: &'static str, expected: &'static str) -> Option<T> {
        let parsed = self.env.value(name)?.parse();
        parsed.map_err(|_| self.mistake(name, format!("expected {expected}"))).ok()
    }

    /// As [`Reader::optional`], and unset is a mistake.
    pub fn required<T: FromStr>(&mut self, name: &'static str, expected: &'static str) -> Option<T> {
        if self.env.value(name).is_none() {
            self.mistake(name, format!("required: expected {expected}"));
        }
        self.optional(name, expected)
    }

    /// The value through a parser that says itself what is wrong.
    pub fn parsed<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        parse(self.env.value(name)?).map_err(|problem| self.mistake(name, problem)).ok()
    }

    /// A duration such as `30s` or `6min`; a bare number counts seconds.
    pub fn duration(&mut self, name: &'static str, default: Duration) -> Duration {
        let parse = |value: &str| match value.parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => {
                humantime::parse_duration(value).map_err(|_| "expected a duration such as 30s or 6min".to_owned())
            }
        };
        self.parsed(name, parse).unwrap_or(default)
    }

    /// A secret; its value shows up in no message.
    pub fn secret(&mut self, name: &'static str) -> Option<SecretString> {
        self.env.value(name).map(SecretString::from)
    }

    /// Notes a mistake that involves more than one variable's form.
    pub fn mistake(&mut self, name: &'static str, problem: impl Into<String>) {
        self.mistakes.push(Mistake { name, problem: problem.into() });
    }

    /// The configuration, if nothing was wrong with any variable.
    pub fn finish<T>(self, config: Option<T>) -> Result<T, ConfigError> {
        match config {
            Some(config) if self.mistakes.is_empty() => Ok(config),
            Some(_) | None => Err(ConfigError { mistakes: self.mistakes }),
        }
    }
}

/// What is wrong with the environment; displays every mistake, one a line.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    mistakes: Vec<Mistake>,
}

impl ConfigError {
    /// The variables that are wrong, in the order they were read.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.mistakes.iter().map(|mistake| mistake.name)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment has {} mistake(s):", self.mistakes.len())?;
        self.mistakes.iter().try_for_each(|Mistake { name, problem }| write!(f, "\n  {name}: {problem}"))
    }
}

#[derive(Debug)]
struct Mistake {
    name: &'static str,
    problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_reported_in_one_run() {
        let env = Env::from_iter([("PORT", "many"), ("DRAIN_SECONDS", "soon")]);
        let mut reader = Reader::new(&env);
        let port = reader.required::<u16>("PORT", "a port number");
        let url = reader.required::<String>("PUBLIC_URL", "a URL");
        reader.duration("DRAIN_SECONDS", Duration::ZERO);
        let error = reader.finish(port.zip(url)).unwrap_err();
        assert_eq!(error.names().collect::<Vec<_>>(), ["PORT", "PUBLIC_URL", "DRAIN_SECONDS"]);
        assert!(!error.to_string().contains("many"), "a report may end in a log, so it repeats no value");
    }

    #[test]
    fn an_empty_value_counts_as_unset() {
        let env = Env::from_iter([("REGION", " ")]);
        assert_eq!(Reader::new(&env).optional::<String>("REGION", "a region"), None);
    }

    #[test]
    fn a_duration_may_have_a_unit_or_count_seconds() {
        let env = Env::from_iter([("A", "90"), ("B", "6min")]);
        let mut reader = Reader::new(&env);
        assert_eq!(reader.duration("A", Duration::ZERO), Duration::from_secs(90));
        assert_eq!(reader.duration("B", Duration::ZERO), Duration::from_secs(360));
    }

    #[test]
    fn debug_shows_no_values() {
        assert!(!format!("{:?}", Env::from_iter([("TOKEN", "s3cret")])).contains("s3cret"));
    }
}
