// Who asks: the Unix socket is the administrator's; over TLS, a service-account token says who.

import type { IncomingMessage } from "node:http";
import { apiError } from "../store/errors.ts";
import type { TokenAuthority, UserInfo } from "../tokens/token-authority.ts";

/** Decides who makes a request. UNAUTHORIZED when the credentials are wrong. */
export type Authenticator = (request: IncomingMessage) => UserInfo;

const administrator: UserInfo = {
  username: "kubernetes-admin",
  uid: "",
  groups: ["system:masters", "system:authenticated"],
  extra: {},
};

export const anonymous: UserInfo = {
  username: "system:anonymous",
  uid: "",
  groups: ["system:unauthenticated"],
  extra: {},
};

export const asAdministrator: Authenticator = () => administrator;

export function bearerAuthenticator(tokens: TokenAuthority): Authenticator {
  return (request) => {
    const header = request.headers.authorization;
    if (header === undefined) return anonymous;
    const token = /^bearer +(\S+)$/i.exec(header)?.[1];
    const verdict = token === undefined ? undefined : tokens.review(token);
    if (verdict?.authenticated === true) return verdict.user;
    throw apiError("UNAUTHORIZED", `Unauthorized${verdict === undefined ? "" : `: ${verdict.error}`}`);
  };
}
