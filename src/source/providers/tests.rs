use super::*;
use crate::source::{Scheme, SigningProfile, Weakness};

#[test]
fn rows_are_profiles_of_their_own_names() {
    let mut names: Vec<_> = PROVIDERS.iter().map(|provider| provider.name).collect();
    for provider in PROVIDERS.iter() {
        let profile = SigningProfile::of_preset(provider).unwrap();
        assert_eq!(profile.name(), provider.name);
        assert!(!profile.schemes.is_empty(), "{}", provider.name);
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), PROVIDERS.len());
}

#[test]
fn only_mailgun_and_adyen_leave_the_body_out() {
    for provider in PROVIDERS.iter() {
        let profile = SigningProfile::of_preset(provider).unwrap();
        let weak: Vec<_> = profile.schemes.iter().flat_map(Scheme::weaknesses).collect();
        let needs_consent = weak.iter().any(|weakness| weakness.needs_consent());
        assert_eq!(needs_consent, ["mailgun", "adyen"].contains(&provider.name), "{weak:?}");
        let is_sum = weak == [Weakness::Crc32];
        assert_eq!(!needs_consent && !weak.is_empty(), provider.name == "paypal" && is_sum);
    }
}

#[test]
fn setup_says_where_address_and_secret_go() {
    for provider in PROVIDERS.iter() {
        let steps = provider.setup().concat();
        assert!(steps.contains("{url}") && steps.contains("{secret}"), "{}", provider.name);
        assert!(provider.page.starts_with("https://"), "{}", provider.name);
        let rest = steps.replace("{url}", "").replace("{secret}", "");
        assert!(!rest.contains(['{', '}']), "{rest}");
    }
}

#[test]
fn reference_lists_every_provider() {
    let reference = include_str!("../../config/reference.toml");
    for provider in PROVIDERS.iter() {
        assert!(reference.contains(provider.name), "{}", provider.name);
    }
}
