// HOT: per request. Who calls this workload, how protected, and what for: by port, kind of protection and identity (or
// address, where there is none), with methods and classes of paths; at a gateway by host too, and not by address, as its
// clients are anybody. Policies are written and tried from it. Bounded: what does not fit is counted as that of other
// callers, and other requests.
import { anyRest, PathClasses } from "./path-classes.ts";

/** `own_tls`: bytes of a TLS connection that no proxy opens. */
export type Protection = "mutual_tls" | "tls" | "own_tls" | "plaintext";

export interface InboundRequests {
  /** In lower case, with the port that the client wrote; only at gateways. */
  readonly host?: string;
  readonly method: string;
  /** A class of paths: `/users/{*}`. */
  readonly path: string;
  readonly forwarded: number;
  /** Answered by the proxy itself. */
  readonly refused: number;
}

export interface InboundCaller {
  /** On which the application listens. */
  readonly port: number;
  readonly protection: Protection;
  /** SPIFFE id of its certificate; empty without one. */
  readonly principal: string;
  /** Of the latest connection; empty for callers that did not fit. */
  readonly address: string;
  readonly connections: number;
  /** Of these, closed before anything reached the application. */
  readonly refused: number;
  readonly requests: readonly InboundRequests[];
}

export interface Arrival {
  readonly port: number;
  readonly protection: Protection;
  readonly principal: string;
  readonly address: string;
}

const maxCallers = 1000;
const maxRequestRows = 5000;
/** Raw paths whose row is known, of all callers; longer ones are looked at anew each time. */
const maxKnownPaths = 20_000;
const maxKnownLength = 256;
/** Longer ones are none that anybody allows. */
const maxMethodLength = 32;
const maxHostLength = 253;
/** Of all callers; clients may send what they like where a gateway takes every host. */
const maxHosts = 500;

/** What all callers have in common. */
interface Room {
  readonly countsHosts: boolean;
  /** By host, as the client wrote it; empty where hosts are not counted. */
  readonly hosts: Map<string, string>;
  requestRows: number;
  knownPaths: number;
  readonly classes: PathClasses;
}

export class InboundTraffic {
  readonly #callers = new Map<string, Caller>();
  readonly #room: Room;

  /** `edge`: of a gateway. */
  constructor(edge = false) {
    this.#room = {
      countsHosts: edge,
      hosts: new Map(),
      requestRows: maxRequestRows,
      knownPaths: maxKnownPaths,
      classes: new PathClasses(),
    };
  }

  get isEdge(): boolean {
    return this.#room.countsHosts;
  }

  /** A connection came in: what its requests are counted with. */
  arrived(arrival: Arrival): Caller {
    const { port, protection, principal } = arrival;
    const address = this.isEdge ? "" : arrival.address;
    const caller =
      this.#find(
        `${port} ${protection} ${principal === "" ? address : principal}`,
        { ...arrival, address },
        maxCallers,
      ) ??
      // Few: as many as there are ports and kinds of protection, and all ports have one more in common.
      this.#find(`${port} ${protection} `, { ...arrival, principal: "", address: "" }, 2 * maxCallers) ??
      this.#find(` ${protection} `, { port: 0, protection, principal: "", address: "" }, Number.POSITIVE_INFINITY);
    if (caller === undefined) throw new RangeError("the last kind of callers has no bound");
    caller.connections++;
    if (caller.address !== "") caller.address = address;
    return caller;
  }

  #find(key: string, arrival: Arrival, limit: number): Caller | undefined {
    const known = this.#callers.get(key);
    if (known !== undefined || this.#callers.size >= limit) return known;
    const caller = new Caller(arrival, this.#room);
    this.#callers.set(key, caller);
    return caller;
  }

  rows(): InboundCaller[] {
    return [...this.#callers.values()].map((caller) => caller.row());
  }
}

interface Row {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  forwarded: number;
  refused: number;
}

export class Caller implements InboundCaller {
  readonly port: number;
  readonly protection: Protection;
  readonly principal: string;
  address: string;
  connections = 0;
  refused = 0;
  readonly #room: Room;
  /** By host and method, then by class of paths. */
  readonly #rows = new Map<string, Map<string, Row>>();
  /** What does not fit. */
  readonly #others: Row = { host: "", method: "", path: `/${anyRest}`, forwarded: 0, refused: 0 };
  readonly #known = new Map<string, Map<string, Row>>();

  constructor({ port, protection, principal, address }: Arrival, room: Room) {
    this.port = port;
    this.protection = protection;
    this.principal = principal;
    this.address = address;
    this.#room = room;
  }

  get requests(): readonly InboundRequests[] {
    const rows = [...this.#rows.values()].flatMap((byPath) => [...byPath.values()]);
    return this.#others.forwarded + this.#others.refused > 0 ? [...rows, this.#others] : rows;
  }

  get countsHosts(): boolean {
    return this.#room.countsHosts;
  }

  /** A request over one of its connections is over. The host counts at gateways only. */
  countRequest(method: string, path: string, isForwarded: boolean, host = ""): void {
    const kind = host === "" ? method : `${method} ${host}`;
    const row = this.#known.get(kind)?.get(path) ?? this.#learn(method, path, isForwarded ? host : "");
    if (isForwarded) row.forwarded++;
    else row.refused++;
  }

  /** A connection was closed before anything reached the application. */
  countRefusal(): void {
    this.refused++;
  }

  #learn(method: string, rawPath: string, rawHost: string): Row {
    const host = this.#host(rawHost);
    const room = this.#room;
    const query = endOfPath(rawPath);
    const path = query === -1 ? rawPath : rawPath.slice(0, query);
    const row = this.#row(
      host ?? "",
      host === null || method.length > maxMethodLength ? "" : method,
      room.classes.classOf(path),
    );
    // With a query hardly any path comes twice.
    if (query !== -1 || rawPath.length > maxKnownLength || row.method === "" || room.knownPaths <= 0) return row;
    const kind = rawHost === "" ? method : `${method} ${rawHost}`;
    let byPath = this.#known.get(kind);
    if (byPath === undefined) {
      byPath = new Map();
      this.#known.set(kind, byPath);
    }
    byPath.set(rawPath, row);
    room.knownPaths--;
    return row;
  }

  /** In lower case; null: it does not fit. */
  #host(raw: string): string | null {
    if (raw === "") return "";
    const { hosts } = this.#room;
    const known = hosts.get(raw);
    if (known !== undefined) return known;
    if (hosts.size >= maxHosts || raw.length > maxHostLength) return null;
    const host = raw.toLowerCase();
    hosts.set(raw, host);
    return host;
  }

  #row(host: string, method: string, path: string): Row {
    const kind = host === "" ? method : `${method} ${host}`;
    let byPath = this.#rows.get(kind);
    const known = byPath?.get(path);
    if (known !== undefined) return known;
    if (this.#room.requestRows <= 0) return this.#others;
    if (byPath === undefined) {
      byPath = new Map();
      this.#rows.set(kind, byPath);
    }
    const row: Row = { host, method, path, forwarded: 0, refused: 0 };
    this.#room.requestRows--;
    byPath.set(path, row);
    return row;
  }

  row(): InboundCaller {
    const { port, protection, principal, address, connections, refused } = this;
    return { port, protection, principal, address, connections, refused, requests: mergedRequests([this.requests]) };
  }
}

/** Where the query or the fragment begins. */
function endOfPath(path: string): number {
  const query = path.indexOf("?");
  return query === -1 ? path.indexOf("#") : query;
}

/** One row for each caller of several lists, of event loops or of pods of one workload. */
export function mergeCallers(lists: readonly (readonly InboundCaller[])[]): InboundCaller[] {
  const byKey = new Map<string, InboundCaller[]>();
  for (const caller of lists.flat()) {
    const { port, protection, principal, address } = caller;
    const key = `${port} ${protection} ${principal === "" ? address : principal}`;
    const same = byKey.get(key);
    if (same === undefined) byKey.set(key, [caller]);
    else same.push(caller);
  }
  return [...byKey.values()].flatMap((same) => {
    const [first] = same;
    if (first === undefined) return [];
    return {
      ...first,
      connections: sum(same.map(({ connections }) => connections)),
      refused: sum(same.map(({ refused }) => refused)),
      requests: mergedRequests(same.map(({ requests }) => requests)),
    };
  });
}

/** In the classes that all of their paths make together. */
function mergedRequests(lists: readonly (readonly InboundRequests[])[]): InboundRequests[] {
  const classes = new PathClasses();
  const all = lists.flat();
  for (const { path } of all) classes.classOf(path);
  const byKey = new Map<string, InboundRequests>();
  for (const request of all) {
    const path = classes.classOf(request.path);
    const { host = "" } = request;
    const key = `${host} ${request.method} ${path}`;
    const before = byKey.get(key);
    byKey.set(key, {
      ...(host !== "" && { host }),
      method: request.method,
      path,
      forwarded: (before?.forwarded ?? 0) + request.forwarded,
      refused: (before?.refused ?? 0) + request.refused,
    });
  }
  return [...byKey.values()];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
