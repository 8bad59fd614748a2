// Paths of fields within an object: `spec.http[0].match[1].headers["end-user"]`. Decoders build them as a chain that
// is rendered only when there is something to report.

export type PathSegment = string | number;

/** A field within its parent; undefined is the object itself. */
export interface Path {
  readonly parent: Path | undefined;
  readonly segment: PathSegment;
}

export function child(parent: Path | undefined, segment: PathSegment): Path {
  return { parent, segment };
}

export function renderPath(path: Path | undefined): string {
  const segments: PathSegment[] = [];
  for (let current = path; current !== undefined; current = current.parent) segments.push(current.segment);
  return joinPath(segments.reverse());
}

export function joinPath(segments: readonly PathSegment[]): string {
  let text = "";
  for (const segment of segments) {
    if (typeof segment === "number") text += `[${segment}]`;
    else if (plain.test(segment)) text += text === "" ? segment : `.${segment}`;
    else text += `[${JSON.stringify(segment)}]`;
  }
  return text;
}

const plain = /^[A-Za-z_$][\w$-]*$/;

/** Takes a path apart; reading stops at the first character that makes no sense. */
export function parsePath(path: string): PathSegment[] {
  const segments: PathSegment[] = [];
  const pattern = /\.?([A-Za-z_$][\w$-]*)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/y;
  for (let match = pattern.exec(path); match !== null; match = pattern.exec(path)) {
    if (match[1] !== undefined) segments.push(match[1]);
    else if (match[2] !== undefined) segments.push(Number(match[2]));
    else if (match[3] !== undefined) segments.push(unquote(match[3]));
  }
  return segments;
}

function unquote(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return text.slice(1, -1);
  }
}
