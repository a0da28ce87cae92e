//! Searches for places: `GEOSEARCH`, and the older `GEORADIUS` with its kin.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::geo::{place, unit, write_distance, write_place};
use crate::geohash::{Place, Shape};
use crate::zstore;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Scored, Zset};
use std::sync::Arc;

type Outcome = Result<(), CommandError>;

/// How a command names what it searches.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// `GEORADIUS`: the place and the radius stand first.
    AroundPlace,
    /// `GEORADIUSBYMEMBER`: a member and the radius.
    AroundMember,
    /// `GEOSEARCH`: by options.
    Search,
    /// `GEOSEARCHSTORE`, after the key to store at.
    SearchStore,
}

/// Whether `STORE` may be said.
#[derive(Clone, Copy, PartialEq)]
enum Storing {
    Allowed,
    Refused,
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    None,
    Nearest,
    Furthest,
}

/// What is asked for.
struct Query<'a> {
    /// `None`: by a member of a key that does not exist.
    middle: Option<Place>,
    /// Whether an option said around what to search.
    from_something: bool,
    shape: Option<Shape>,
    /// Meters of the unit of the distances answered.
    meters: f64,
    order: Order,
    /// 0: all.
    count: usize,
    /// The first that are found will do.
    any: bool,
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    store: Option<&'a [u8]>,
    store_distance: bool,
}

fn positive(arg: &[u8], missing: CommandError, negative: CommandError) -> Result<f64, CommandError> {
    let value = arg::float(arg).ok_or(missing)?;
    if value < 0.0 { Err(negative) } else { Ok(value) }
}

fn circle(radius: &[u8], name: &[u8]) -> Result<(Shape, f64), CommandError> {
    let radius = positive(radius, CommandError::RadiusNotANumber, CommandError::RadiusNegative)?;
    let meters = unit(name)?;
    Ok((Shape::Circle { radius: radius * meters }, meters))
}

fn rectangle(width: &[u8], height: &[u8], name: &[u8]) -> Result<(Shape, f64), CommandError> {
    let width = arg::float(width).ok_or(CommandError::WidthNotANumber)?;
    let height = arg::float(height).ok_or(CommandError::HeightNotANumber)?;
    if width < 0.0 || height < 0.0 {
        return Err(CommandError::BoxNegative);
    }
    let meters = unit(name)?;
    Ok((Shape::Box { width: width * meters, height: height * meters }, meters))
}

fn member(zset: Zset<'_>, member: &[u8]) -> Result<Place, CommandError> {
    zset.score(member).map(Place::of_score).ok_or(CommandError::NoSuchMember)
}

impl<'a> Query<'a> {
    fn parse(
        args: &'a [&'a [u8]],
        zset: Option<Zset<'_>>,
        form: Form,
        storing: Storing,
    ) -> Result<Self, CommandError> {
        let mut it = Query {
            middle: None,
            from_something: false,
            shape: None,
            meters: 1.0,
            order: Order::None,
            count: 0,
            any: false,
            with_distance: false,
            with_hash: false,
            with_place: false,
            store: None,
            store_distance: false,
        };
        let options = match form {
            Form::AroundPlace => {
                it.middle = Some(place(args[2], args[3])?);
                it.set_shape(circle(args[4], args[5])?);
                &args[6..]
            }
            Form::AroundMember => {
                if let Some(zset) = zset {
                    it.middle = Some(member(zset, args[2])?);
                    it.set_shape(circle(args[3], args[4])?);
                }
                &args[5..]
            }
            Form::Search => &args[2..],
            Form::SearchStore => {
                it.store = Some(args[1]);
                &args[3..]
            }
        };
        it.options(options, zset, form, storing)?;
        it.check(args[0], form)?;
        Ok(it)
    }

    fn set_shape(&mut self, (shape, meters): (Shape, f64)) {
        (self.shape, self.meters) = (Some(shape), meters);
    }

    fn options(
        &mut self,
        mut options: &'a [&'a [u8]],
        zset: Option<Zset<'_>>,
        form: Form,
        storing: Storing,
    ) -> Outcome {
        let searches = matches!(form, Form::Search | Form::SearchStore);
        let stores = storing == Storing::Allowed && !searches;
        let (mut from_member, mut from_place) = (false, false);
        while let [option, rest @ ..] = options {
            let is = |name| arg::is(option, name);
            options = match rest {
                _ if self.flag(option) => rest,
                [count, rest @ ..] if is("count") => {
                    let count = arg::integer(count)?;
                    self.count = usize::try_from(count)
                        .ok()
                        .filter(|count| *count > 0)
                        .ok_or(CommandError::CountNotPositive)?;
                    rest
                }
                [key, rest @ ..] if stores && (is("store") || is("storedist")) => {
                    (self.store, self.store_distance) = (Some(*key), is("storedist"));
                    rest
                }
                [name, rest @ ..] if searches && !from_place && is("frommember") => {
                    from_member = true;
                    self.middle = zset.map(|zset| member(zset, name)).transpose()?;
                    rest
                }
                [longitude, latitude, rest @ ..] if searches && !from_member && is("fromlonlat") => {
                    from_place = true;
                    self.middle = Some(place(longitude, latitude)?);
                    rest
                }
                [radius, unit, rest @ ..]
                    if searches && !matches!(self.shape, Some(Shape::Box { .. })) && is("byradius") =>
                {
                    self.set_shape(circle(radius, unit)?);
                    rest
                }
                [width, height, unit, rest @ ..]
                    if searches && !matches!(self.shape, Some(Shape::Circle { .. })) && is("bybox") =>
                {
                    self.set_shape(rectangle(width, height, unit)?);
                    rest
                }
                rest if form == Form::SearchStore && is("storedist") => {
                    self.store_distance = true;
                    rest
                }
                _ => return Err(CommandError::Syntax),
            };
        }
        self.from_something = from_member || from_place;
        Ok(())
    }

    /// Whether the options go together. `name` is the command as it was typed, which the errors repeat.
    fn check(&self, name: &[u8], form: Form) -> Outcome {
        let searches = matches!(form, Form::Search | Form::SearchStore);
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_place) {
            let what = if searches { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(CommandError::StoreWithOptions { what });
        }
        let command = || String::from_utf8_lossy(name).into_owned();
        if searches && !self.from_something {
            return Err(CommandError::NoMiddle { command: command() });
        }
        if searches && self.shape.is_none() {
            return Err(CommandError::NoShape { command: command() });
        }
        if self.any && self.count == 0 { Err(CommandError::AnyWithoutCount) } else { Ok(()) }
    }

    /// Takes an option that is a single word; whether it is one.
    fn flag(&mut self, option: &[u8]) -> bool {
        match &*option.to_ascii_lowercase() {
            b"withdist" => self.with_distance = true,
            b"withhash" => self.with_hash = true,
            b"withcoord" => self.with_place = true,
            b"any" => self.any = true,
            b"asc" => self.order = Order::Nearest,
            b"desc" => self.order = Order::Furthest,
            _ => return false,
        }
        true
    }

    /// What is found, in the order that is asked for, its distances in the unit that is asked for.
    fn find(&self, zset: Zset<'_>) -> Vec<Found> {
        let (Some(middle), Some(shape)) = (self.middle, self.shape) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for (low, high) in shape.ranges(middle) {
            if self.any && found.len() >= self.count {
                break;
            }
            let first = zset.count_before(|scored| scored.score < low);
            let within = ticking(zset.ascending(first)).take_while(|scored| scored.score < high);
            let reached = within.filter_map(|scored| {
                let place = Place::of_score(scored.score);
                let distance = shape.reaches(middle, place)? / self.meters;
                Some(Found { member: scored.member.into(), score: scored.score, place, distance })
            });
            let wanted = if self.any { self.count - found.len() } else { usize::MAX };
            found.extend(reached.take(wanted));
        }
        // A count without an order is about the nearest ones, unless any will do.
        let order = match self.order {
            Order::None if self.count > 0 && !self.any => Order::Nearest,
            order => order,
        };
        match order {
            Order::None => {}
            Order::Nearest => found.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
            Order::Furthest => found.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
        }
        if self.count > 0 {
            found.truncate(self.count);
        }
        found
    }
}

struct Found {
    member: Arc<[u8]>,
    score: f64,
    place: Place,
    distance: f64,
}

pub(crate) fn geosearch(call: &mut Call<'_>) -> Outcome {
    search(call, 1, Form::Search, Storing::Refused)
}

pub(crate) fn geosearchstore(call: &mut Call<'_>) -> Outcome {
    search(call, 2, Form::SearchStore, Storing::Allowed)
}

pub(crate) fn georadius(call: &mut Call<'_>) -> Outcome {
    search(call, 1, Form::AroundPlace, Storing::Allowed)
}

pub(crate) fn georadius_ro(call: &mut Call<'_>) -> Outcome {
    search(call, 1, Form::AroundPlace, Storing::Refused)
}

pub(crate) fn georadiusbymember(call: &mut Call<'_>) -> Outcome {
    search(call, 1, Form::AroundMember, Storing::Allowed)
}

pub(crate) fn georadiusbymember_ro(call: &mut Call<'_>) -> Outcome {
    search(call, 1, Form::AroundMember, Storing::Refused)
}

/// The key that is searched is at `key_at`.
fn search(call: &mut Call<'_>, key_at: usize, form: Form, storing: Storing) -> Outcome {
    let zset = call.db.peek::<Zset>(call.args[key_at])?;
    let query = Query::parse(call.args, zset, form, storing)?;
    let found = zset.map_or(Vec::new(), |zset| query.find(zset));
    call.db.was_read();
    if let Some(key) = query.store {
        let score = |found: &Found| if query.store_distance { found.distance } else { found.score };
        let scored: Vec<Scored> =
            found.iter().map(|f| Scored { member: Arc::clone(&f.member), score: score(f) }).collect();
        zstore::replace(call, key, &scored);
        return Ok(());
    }
    let options = [query.with_distance, query.with_hash, query.with_place];
    let options = options.into_iter().filter(|asked| *asked).count();
    call.reply.array(found.len());
    for Found { member, score, place, distance } in ticking(found) {
        if options > 0 {
            call.reply.array(options + 1);
        }
        call.reply.bulk(&member);
        if query.with_distance {
            write_distance(&mut call.reply, distance);
        }
        if query.with_hash {
            call.reply.int(score as i64);
        }
        if query.with_place {
            write_place(&mut call.reply, place);
        }
    }
    Ok(())
}
