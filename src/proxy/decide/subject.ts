// A request as routes and policies look at it.
import type { RouteConfig } from "../config/http.ts";
import type { RbacSubject } from "../config/rbac.ts";
import type { HttpQuestion, Question } from "./decision.ts";
import { matchablePath, type RouteDecision, type RouteRequest } from "./route.ts";

/** Routes see the scheme of the connection that the proxy has with the client. */
export function requestOf(http: HttpQuestion, peerId?: string, scheme: "http" | "https" = "http"): RouteRequest {
  return {
    metadata: () => undefined,
    share: ({ fraction }) => fraction,
    clientCertificate: peerId === undefined ? "none" : "validated",
    authority: http.authority,
    path: http.path,
    header: (name) => {
      if (name === ":path") return http.path;
      if (name === ":method") return http.method;
      if (name === ":authority") return http.authority;
      if (name === ":scheme") return scheme;
      return Object.hasOwn(http.headers, name) ? http.headers[name] : undefined;
    },
  };
}

interface AskedHttp {
  readonly http: HttpQuestion;
  readonly remoteIp: string;
  readonly route: RouteDecision | null;
  readonly routes: RouteConfig | null;
}

export function subjectOf(question: Question, peerId: string | undefined, asked: AskedHttp | null): RbacSubject {
  const header = asked === null ? undefined : requestOf(asked.http).header;
  return {
    peer: peerId === undefined ? null : { uriSans: [peerId], dnsSans: [], subject: "" },
    directRemoteIp: question.sourceIp,
    sourceIp: question.sourceIp,
    remoteIp: asked?.remoteIp ?? question.sourceIp,
    sourcePort: 0,
    destinationIp: question.destinationIp,
    destinationPort: question.destinationPort,
    requestedServerName: question.tls?.serverName ?? "",
    path: asked === null ? undefined : matchablePath(asked.routes, asked.http.path),
    header,
    headerValues: header,
    metadata: undefined,
    routeMetadata: asked === null ? undefined : (filter) => asked.route?.route.metadata[filter],
    ...(asked?.http.claims !== undefined && { claims: asked.http.claims }),
    ...(asked?.http.nowSeconds !== undefined && { nowSeconds: asked.http.nowSeconds }),
  };
}
