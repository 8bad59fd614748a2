// Paths of requests in few classes: a segment that names one thing of many (a number, a UUID, one of too many names at
// its place) is `{*}`, and what is deeper than anybody writes policies for is `{**}`. These are the templates of
// AuthorizationPolicy paths.

/** More different names than this at one place are ids, whatever they look like. */
const maxNames = 20;
/** Deeper segments are `{**}`. */
const maxSegments = 12;
/** Of all places together: from then on what is new is `{**}`. */
const maxPlaces = 5000;
/** A longer segment is an id, or a secret. */
const maxSegmentLength = 40;

export const anySegment = "{*}";
export const anyRest = "{**}";

interface Place {
  /** Null: there were too many. */
  names: Map<string, Place> | null;
  others: Place | null;
}

export class PathClasses {
  readonly #root: Place = { names: new Map(), others: null };
  #places = 0;

  /** The class of a path without query. It may become wider as other paths come: ask again with the class. */
  classOf(path: string): string {
    if (!path.startsWith("/")) return path.length > maxSegmentLength ? anySegment : path;
    let place = this.#root;
    let found = "";
    let segments = 0;
    let start = 1;
    while (start <= path.length) {
      if (++segments > maxSegments) return `${found}/${anyRest}`;
      const slash = path.indexOf("/", start);
      const end = slash === -1 ? path.length : slash;
      const name = path.slice(start, end);
      if (name === anyRest && end === path.length) return `${found}/${anyRest}`;
      const isNamed = !isId(name) && isCounted(place, name);
      const next: Place | null =
        (isNamed ? place.names?.get(name) : place.others) ?? this.#add(place, isNamed ? name : null);
      if (next === null) return `${found}/${anyRest}`;
      found += `/${isNamed ? name : anySegment}`;
      place = next;
      start = end + 1;
    }
    return found;
  }

  /** `name` null: for all names that do not count. Null: there is no room for more places. */
  #add(before: Place, name: string | null): Place | null {
    if (this.#places >= maxPlaces) return null;
    this.#places++;
    const place: Place = { names: new Map(), others: null };
    if (name === null) before.others = place;
    else before.names?.set(name, place);
    return place;
  }
}

/** False: there are too many names, and none of them counts any more. */
function isCounted(place: Place, name: string): boolean {
  if (place.names === null) return false;
  if (place.names.size < maxNames || place.names.has(name)) return true;
  place.names = null;
  return false;
}

/** Digits, UUIDs and other hexadecimal or mixed names, what is too long, and what a template could not say literally. */
const idPattern = /^\d+$|^[0-9a-fA-F]{8,}$|^[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}$|^(?=[^/]{16,}$)(?=\D*\d)[\w-]+$|[*{}%]/;

function isId(name: string): boolean {
  return name.length > maxSegmentLength || idPattern.test(name);
}
