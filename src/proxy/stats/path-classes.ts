// HOT: per request whose path is new. Paths of requests in few classes: a segment that names one thing of many (a number, a
// UUID, one of too many names at its place) is `{*}`, and what is deeper than anybody writes policies for is `{**}`. These
// are the templates of AuthorizationPolicy paths.

/** More different names than this at one place are ids, whatever they look like. */
const maxNames = 20;
/** Deeper segments are `{**}`. */
const maxSegments = 12;
/** Of all places together: from then on what is new is `{**}`. */
const maxPlaces = 5000;
/** A longer segment is an id, or a secret. */
const maxSegmentLength = 40;
/** Names of letters and digits that are at least so long are ids. */
const mixedIdLength = 16;
const hexIdLength = 8;
const uuidLength = 36;

export const anySegment = "{*}";
export const anyRest = "{**}";

interface Place {
  /** The class of the path that ends here. */
  readonly path: string;
  /** That of everything below. */
  readonly rest: string;
  /** Null: there were too many. */
  names: Map<string, Place> | null;
  others: Place | null;
}

export class PathClasses {
  readonly #root: Place = placeAt("");
  #places = 0;

  /** The class of a path without query. It may become wider as other paths come: ask again with the class. */
  classOf(path: string): string {
    if (!path.startsWith("/")) return path.length > maxSegmentLength ? anySegment : path;
    let place = this.#root;
    let segments = 0;
    let start = 1;
    while (start <= path.length) {
      if (++segments > maxSegments) return place.rest;
      const slash = path.indexOf("/", start);
      const end = slash === -1 ? path.length : slash;
      const name = path.slice(start, end);
      if (name === anyRest && slash === -1) return place.rest;
      const next = this.#step(place, name);
      if (next === null) return place.rest;
      place = next;
      start = end + 1;
    }
    return place.path;
  }

  /** Null: there is no room for more places. */
  #step(place: Place, name: string): Place | null {
    if (isId(name) || !isCounted(place, name)) {
      if (place.others === null && this.#hasRoom()) place.others = placeAt(`${place.path}/${anySegment}`);
      return place.others;
    }
    const known = place.names?.get(name);
    if (known !== undefined || !this.#hasRoom()) return known ?? null;
    const next = placeAt(`${place.path}/${name}`);
    place.names?.set(name, next);
    return next;
  }

  #hasRoom(): boolean {
    return ++this.#places <= maxPlaces;
  }
}

function placeAt(path: string): Place {
  return { path, rest: `${path}/${anyRest}`, names: new Map(), others: null };
}

/** False: there are too many names, and none of them counts any more. */
function isCounted(place: Place, name: string): boolean {
  if (place.names === null) return false;
  if (place.names.size < maxNames || place.names.has(name)) return true;
  place.names = null;
  return false;
}

/** Digits, UUIDs and other hexadecimal or mixed names, what is too long, and what a template could not say literally. */
function isId(name: string): boolean {
  const { length } = name;
  if (length > maxSegmentLength) return true;
  let digits = 0;
  let hex = 0;
  let hyphens = 0;
  let letters = 0;
  for (let i = 0; i < length; i++) {
    const code = name.charCodeAt(i);
    // * % { }
    if (code === 0x2a || code === 0x25 || code === 0x7b || code === 0x7d) return true;
    if (code >= 0x30 && code <= 0x39) digits++;
    else if (code === 0x2d) hyphens++;
    else if (code >= 0x61 && code <= 0x66) hex++;
    else if (code >= 0x41 && code <= 0x46) hex++;
    else if ((code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a) || code === 0x5f) letters++;
  }
  if (length > 0 && digits === length) return true;
  if (length >= hexIdLength && digits + hex === length) return true;
  if (length === uuidLength && digits + hex + hyphens === length) return true;
  return length >= mixedIdLength && digits > 0 && digits + hex + hyphens + letters === length;
}
