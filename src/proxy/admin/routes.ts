// The admin API's paths, as Envoy has them. Heavy answers are loaded when they are asked for.
import { getHeapStatistics } from "node:v8";
import { RE2JS } from "re2js";
import type { StatValue } from "../stats/stats.ts";
import { formatAddress } from "../transport/connection-info.ts";
import { addressJson } from "./address.ts";
import { clustersJson, clustersText } from "./clusters.ts";
import { bucketModes } from "./histogram-text.ts";
import { logging } from "./logging.ts";
import { nodeJson } from "./node.ts";
import type { ProxyState } from "./proxy-state.ts";
import { json, prometheus, type Reply, text } from "./reply.ts";
import { modifyRuntime, runtimeValues } from "./runtime.ts";
import { countedStats, prometheusText, statsJson, statsText } from "./stats.ts";

interface AdminPath {
  readonly help: string;
  /** Changes something, and therefore needs POST. */
  readonly mutates?: boolean;
  readonly answer: (state: ProxyState, query: URLSearchParams) => Reply | Promise<Reply>;
}

const paths: Readonly<Record<string, AdminPath>> = {
  "/certs": {
    help: "print certs on machine",
    answer: async (state) => json((await import("./secrets.ts")).certs(state)),
  },
  "/clusters": {
    help: "upstream cluster status (?format=json)",
    answer: (state, query) => (query.get("format") === "json" ? json(clustersJson(state)) : text(clustersText(state))),
  },
  "/config_dump": {
    help: "dump current configs (?include_eds, ?resource=, ?mask=, ?name_regex=)",
    answer: async (state, query) => (await import("./config-dump.ts")).configDump(state, query),
  },
  "/contention": {
    help: "dump current mutex contention stats (none are traced)",
    answer: () => text("Mutex contention tracing is not enabled.\n"),
  },
  "/drain_listeners": {
    help: "drain listeners (?inboundonly, ?graceful, ?skip_exit)",
    mutates: true,
    answer: (state, query) => {
      const isGraceful = query.has("graceful");
      const skipsExit = query.has("skip_exit");
      if (skipsExit && !isGraceful) return text("skip_exit requires graceful\n", 400);
      state.drainListeners({ isGraceful, skipsExit, inboundOnly: query.has("inboundonly") });
      return text("OK\n");
    },
  },
  "/healthcheck/fail": { help: "cause the server to fail health checks", mutates: true, answer: healthCheck(true) },
  "/healthcheck/ok": { help: "cause the server to pass health checks", mutates: true, answer: healthCheck(false) },
  "/help": { help: "print out list of admin commands", answer: () => help() },
  "/hot_restart_version": {
    help: "print the hot restart compatibility version",
    answer: () => text("disabled\n"),
  },
  "/inbound_traffic": {
    help: "print who called this workload or gateway since the start: ports, protection, identities, hosts, methods, classes of paths",
    answer: (state) => json(inboundTraffic(state)),
  },
  "/init_dump": {
    help: "print what the proxy still waits for",
    answer: (state) => json(initDump(state)),
  },
  "/listeners": { help: "print listener info (?format=json)", answer: listeners },
  "/logging": {
    help: "query/change logging levels",
    mutates: true,
    answer: (state, query) => logging(state.log, query),
  },
  "/memory": { help: "print current allocation/heap usage", answer: () => json(memory()) },
  "/quitquitquit": {
    help: "exit the server",
    mutates: true,
    answer: (state) => {
      setImmediate(state.quit);
      return text("OK\n");
    },
  },
  "/ready": { help: "print server state, 200 if LIVE, otherwise 503", answer: readiness },
  "/reset_counters": {
    help: "reset all counters to zero",
    mutates: true,
    answer: (state) => {
      state.counterReset.reset(countedStats(state));
      return text("OK\n");
    },
  },
  "/runtime": { help: "print runtime values", answer: runtimeValues },
  "/runtime_modify": {
    help: "adds or modifies runtime values as passed in query parameters; to delete a previously added key, use an empty value",
    mutates: true,
    answer: modifyRuntime,
  },
  "/server_info": { help: "print server version/status information", answer: (state) => json(serverInfo(state)) },
  "/stats": {
    help: "print server stats (?filter=, ?usedonly, ?type=, ?format=json|prometheus, ?histogram_buckets=)",
    answer: stats,
  },
  "/stats/recentlookups": { help: "show recent stat-name lookups (none are made)", answer: noLookups },
  "/stats/recentlookups/clear": { help: "clear list of stat-name lookups", mutates: true, answer: noLookups },
  "/stats/recentlookups/disable": { help: "disable recording of stat-name lookups", mutates: true, answer: noLookups },
  "/stats/recentlookups/enable": { help: "enable recording of stat-name lookups", mutates: true, answer: noLookups },
  "/stats/prometheus": {
    help: "print server stats in prometheus format",
    answer: (state, query) => {
      query.set("format", "prometheus");
      return stats(state, query);
    },
  },
};

function inboundTraffic({ startedAtMs, now, callers }: ProxyState): object {
  return {
    since: new Date(startedAtMs).toISOString(),
    until: new Date(now()).toISOString(),
    callers: callers(),
  };
}

/** Statistics are found once, when what counts is made; there is no table to look them up in. */
function noLookups(): Reply {
  return text("Lookup tracking is not supported: statistics are not looked up while they count.\n", 501);
}

/** Answers one request of the admin API. */
export function answerAdmin(state: ProxyState, method: string, url: URL): Reply | Promise<Reply> {
  if (url.pathname === "/") return help();
  const path = paths[url.pathname];
  if (path === undefined) return text("invalid path. admin commands are:\n" + helpText(), 404);
  const isPost = method === "POST";
  // Showing log levels changes nothing.
  const reads = url.pathname === "/logging" && url.search === "";
  if (path.mutates && !isPost && !reads) return text(`Method ${method} not allowed, POST required.\n`, 405);
  return path.answer(state, url.searchParams);
}

/** `/ready`, also served for probes. */
export function readiness(state: ProxyState): Reply {
  const serverState = state.serverState();
  return text(`${serverState}\n`, serverState === "LIVE" ? 200 : 503);
}

function help(): Reply {
  return text(`admin commands are:\n${helpText()}`);
}

function helpText(): string {
  return Object.entries(paths)
    .map(([path, { help: words }]) => `  ${path}: ${words}\n`)
    .join("");
}

function listeners(state: ProxyState, query: URLSearchParams): Reply {
  const all = state.listeners().map(({ name, addresses }) => ({ name, addresses }));
  if (query.get("format") === "json") {
    return json({
      listener_statuses: all.map(({ name, addresses: [first, ...others] }) => ({
        name,
        local_address: addressJson(first.host, first.port),
        ...(others.length > 0 && { additional_local_addresses: others.map((it) => addressJson(it.host, it.port)) }),
      })),
    });
  }
  const lines = all.flatMap(({ name, addresses }) =>
    addresses.map(({ host, port }) => `${name}::${formatAddress(host, port)}\n`),
  );
  return text(lines.join(""));
}

function healthCheck(isFailed: boolean): AdminPath["answer"] {
  return (state) => {
    state.failHealthChecks(isFailed);
    return text("OK\n");
  };
}

/** Envoy's admin.v3.Memory: 64-bit numbers are strings in JSON. */
function memory(): unknown {
  const heap = getHeapStatistics();
  return {
    allocated: String(heap.used_heap_size),
    heap_size: String(heap.total_heap_size),
    pageheap_unmapped: "0",
    pageheap_free: String(heap.total_heap_size - heap.used_heap_size),
    total_thread_cache: "0",
    total_physical_bytes: String(process.memoryUsage.rss()),
  };
}

const formats: readonly (string | null)[] = [null, "text", "json", "prometheus"];
const statTypes: Readonly<Record<string, string>> = {
  All: "",
  Counters: "counter",
  Gauges: "gauge",
  Histograms: "histogram",
};

function stats(state: ProxyState, query: URLSearchParams): Reply {
  const format = query.get("format");
  if (!formats.includes(format)) return text("usage: /stats?format=json  or /stats?format=prometheus \n\n", 400);
  const kind = statTypes[query.get("type") ?? "All"];
  if (kind === undefined) {
    return text(`invalid &type="${query.get("type")}": ${Object.keys(statTypes).join(", ")}\n`, 400);
  }
  const wantedBuckets = query.get("histogram_buckets") ?? "none";
  const buckets = bucketModes.find((mode) => mode === wantedBuckets);
  if (buckets === undefined) return text(`usage: /stats?histogram_buckets=(${bucketModes.join("|")})\n`, 400);
  const filter = query.get("filter");
  const named = filter === null ? () => true : nameTest(filter);
  if (named === null) return text(`Invalid regex: "${filter}"\n`, 400);
  const usedOnly = query.has("usedonly");
  const accepts = (stat: StatValue): boolean =>
    (kind === "" || stat.kind === kind) && (!usedOnly || stat.value !== 0) && named(stat.name);
  if (format === "prometheus") return prometheusReply(state, query, accepts);
  const question = { accepts, buckets };
  return format === "json" ? json(statsJson(state, question)) : text(statsText(state, question));
}

/** Without a filter it is what scrapers ask for. */
function prometheusReply(state: ProxyState, query: URLSearchParams, accepts: (stat: StatValue) => boolean): Reply {
  return prometheus(prometheusText(state, query.has("filter") || query.has("type") ? accepts : null));
}

function nameTest(pattern: string): ((name: string) => boolean) | null {
  try {
    const regex = RE2JS.compile(pattern);
    return (name) => regex.matcher(name).find();
  } catch {
    return null;
  }
}

/** Envoy's UnreadyTargetsDumps. */
function initDump({ configuration }: ProxyState): unknown {
  const waiting = configuration.waiting();
  return { unready_targets_dumps: waiting.length === 0 ? [] : [{ name: "Server", target_names: waiting }] };
}

function serverInfo(state: ProxyState): unknown {
  const uptime = `${Math.floor((state.now() - state.startedAtMs) / 1000)}s`;
  const { id, cluster } = state.node;
  return {
    version: state.version,
    state: state.serverState(),
    uptime_current_epoch: uptime,
    uptime_all_epochs: uptime,
    command_line_options: { service_node: id, service_cluster: cluster, concurrency: state.concurrency },
    node: nodeJson(state.node),
  };
}
