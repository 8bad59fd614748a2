// The admin API's paths, as Envoy has them. Heavy answers are loaded when they are asked for.
import { RE2JS } from "re2js";
import { formatAddress } from "../transport/connection-info.ts";
import { addressJson } from "./address.ts";
import { clustersJson, clustersText } from "./clusters.ts";
import { logging } from "./logging.ts";
import { nodeJson } from "./node.ts";
import type { ProxyState } from "./proxy-state.ts";
import { json, prometheus, type Reply, text } from "./reply.ts";
import { allStats, prometheusText, statsJson, statsText } from "./stats.ts";

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
    help: "dump current configs (?include_eds, ?resource=, ?name_regex=)",
    answer: async (state, query) => (await import("./config-dump.ts")).configDump(state, query),
  },
  "/drain_listeners": {
    help: "drain listeners",
    mutates: true,
    answer: (state) => {
      state.startDraining();
      return text("OK\n");
    },
  },
  "/help": { help: "print out list of admin commands", answer: () => help() },
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
  "/quitquitquit": {
    help: "exit the server",
    mutates: true,
    answer: (state) => {
      setImmediate(state.quit);
      return text("OK\n");
    },
  },
  "/ready": { help: "print server state, 200 if LIVE, otherwise 503", answer: readiness },
  "/runtime": { help: "print runtime values", answer: () => json({ layers: [], entries: {} }) },
  "/server_info": { help: "print server version/status information", answer: (state) => json(serverInfo(state)) },
  "/stats": { help: "print server stats (?filter=, ?format=json|prometheus)", answer: stats },
  "/stats/prometheus": {
    help: "print server stats in prometheus format",
    answer: (state) => prometheus(prometheusText(state)),
  },
};

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

function stats(state: ProxyState, query: URLSearchParams): Reply {
  const format = query.get("format");
  if (format === "prometheus") return prometheus(prometheusText(state));
  const filter = query.get("filter");
  let accepts: (name: string) => boolean = () => true;
  if (filter !== null) {
    try {
      const regex = RE2JS.compile(filter);
      accepts = (name) => regex.matcher(name).find();
    } catch {
      return text(`Invalid regex: "${filter}"\n`, 400);
    }
  }
  const found = allStats(state, accepts);
  return format === "json" ? json(statsJson(found)) : text(statsText(found));
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
