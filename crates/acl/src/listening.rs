//! What a user that changes may go on listening to: whoever listens to more is ended, as in Redis.
//!
//! *Invariant:* one selector that allows a channel is enough; that it allows no command to listen by is not asked.

use crate::keys::Channel;
use crate::selector::Patterns;
use crate::user::User;

impl User {
    /// Does it lose no channel by becoming `next`? As Redis has it that is asked of the rules: each of its patterns is one of
    /// `next` too, if that has not all channels.
    pub fn keeps_channels_as(&self, next: &User) -> bool {
        let all = |user: &User| user.selectors().any(|selector| selector.channels == Patterns::All);
        let has = |pattern: &Vec<u8>| next.channel_patterns().any(|known| known == pattern);
        all(next) || !all(self) && self.channel_patterns().all(has)
    }

    /// May somebody who listens to that listen on?
    pub fn may_listen_to(&self, name: &[u8], kind: Channel) -> bool {
        self.selectors().any(|selector| selector.allows_channel(name, kind))
    }

    fn channel_patterns(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.selectors().flat_map(|selector| match &selector.channels {
            Patterns::All => [].iter(),
            Patterns::These(patterns) => patterns.iter(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(rules: &str) -> User {
        let rules: Vec<&[u8]> = rules.split(' ').map(str::as_bytes).collect();
        User::default().with(&rules).unwrap()
    }

    #[test]
    fn a_user_keeps_its_channels_if_each_of_its_patterns_is_there_still() {
        let keeps = |old: &str, new: &str| user(old).keeps_channels_as(&user(new));
        assert!(keeps("&a", "&a &b") && keeps("&a", "&b (&a)") && keeps("&a (&b)", "&a &b"));
        assert!(keeps("&a", "&*") && keeps("&*", "&x (&*)") && keeps("resetchannels", "resetchannels"));
        assert!(!keeps("&a &b", "&a") && !keeps("&*", "&a &b"));
        assert!(!keeps("&a", "&a*"), "the rule is asked for, not what it matches");
    }

    #[test]
    fn a_pattern_is_listened_to_only_as_it_stands_in_a_rule_and_any_selector_will_do() {
        let user = user("&a* (&b)");
        assert!(user.may_listen_to(b"abc", Channel::Name) && user.may_listen_to(b"b", Channel::Name));
        assert!(user.may_listen_to(b"a*", Channel::Pattern) && !user.may_listen_to(b"ab*", Channel::Pattern));
        assert!(!user.may_listen_to(b"c", Channel::Name));
    }
}
