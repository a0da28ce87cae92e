//! Places as members of sorted sets, whose scores say where they are. Searches are in the module `geosearch`.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::extended::Extended;
use crate::geohash::Place;
use crate::zset;
use ironcache_keyspace::Zset;
use ironcache_resp::{Protocol, Writer};

type Outcome = Result<(), CommandError>;

/// Two arguments as a place.
pub(crate) fn place(longitude: &[u8], latitude: &[u8]) -> Result<Place, CommandError> {
    let longitude = arg::float(longitude).ok_or(CommandError::NotAFloat)?;
    let latitude = arg::float(latitude).ok_or(CommandError::NotAFloat)?;
    Place::new(longitude, latitude).ok_or(CommandError::NoSuchPlace { longitude, latitude })
}

/// How many meters a unit has.
pub(crate) fn unit(arg: &[u8]) -> Result<f64, CommandError> {
    [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)]
        .into_iter()
        .find_map(|(name, meters)| arg::is(arg, name).then_some(meters))
        .ok_or(CommandError::DistanceUnit)
}

/// A distance is answered with four decimals, in either protocol as a string.
pub(crate) fn write_distance(reply: &mut Writer<'_>, distance: f64) {
    reply.bulk(format!("{distance:.4}").as_bytes());
}

pub(crate) fn write_place(reply: &mut Writer<'_>, place: Place) {
    reply.array(2);
    for degrees in [place.longitude, place.latitude] {
        // With 17 decimals at most, in either protocol.
        let text = Extended::from(degrees).show();
        match reply.protocol() {
            Protocol::Resp2 => reply.bulk(text.as_bytes()),
            Protocol::Resp3 => reply.raw(format!(",{text}\r\n").as_bytes()),
        }
    }
}

pub(crate) fn geoadd(call: &mut Call<'_>) -> Outcome {
    let mut options = zset::Options::default();
    let mut rest = &call.args[2..];
    while let [option, after @ ..] = rest {
        if arg::is(option, "nx") {
            options.nx = true;
        } else if arg::is(option, "xx") {
            options.xx = true;
        } else if arg::is(option, "ch") {
            options.changed = true;
        } else {
            break;
        }
        rest = after;
    }
    let (places, []) = rest.as_chunks::<3>() else {
        return Err(CommandError::Syntax);
    };
    if options.nx && options.xx || places.is_empty() {
        return Err(CommandError::Syntax);
    }
    let scored = places.iter().map(|[longitude, latitude, member]| {
        place(longitude, latitude).map(|place| (place.score(), *member))
    });
    let scored: Vec<(f64, &[u8])> = scored.collect::<Result<_, _>>()?;
    zset::add(call, &options, &scored)
}

pub(crate) fn geodist(call: &mut Call<'_>) -> Outcome {
    let meters = match call.args[4..] {
        [] => 1.0,
        [name] => unit(name)?,
        _ => return Err(CommandError::Syntax),
    };
    let zset = call.db.read::<Zset>(call.args[1])?;
    let at = |member: &[u8]| zset.and_then(|zset| zset.score(member)).map(Place::of_score);
    match at(call.args[2]).zip(at(call.args[3])) {
        Some((a, b)) => write_distance(&mut call.reply, a.distance(b) / meters),
        None => call.reply.null(),
    }
    Ok(())
}

pub(crate) fn geohash(call: &mut Call<'_>) -> Outcome {
    let zset = call.db.read::<Zset>(call.args[1])?;
    call.reply.array(call.args.len() - 2);
    for member in &call.args[2..] {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => call.reply.bulk(&Place::of_score(score).letters()),
            None => call.reply.null(),
        }
    }
    Ok(())
}

pub(crate) fn geopos(call: &mut Call<'_>) -> Outcome {
    let zset = call.db.read::<Zset>(call.args[1])?;
    call.reply.array(call.args.len() - 2);
    for member in &call.args[2..] {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => write_place(&mut call.reply, Place::of_score(score)),
            None => call.reply.null_array(),
        }
    }
    Ok(())
}
