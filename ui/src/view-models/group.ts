//! What the interface offers in a group. A hint only: core judges what is asked, and so does everybody who receives it.
//!
//! In: a group. Out: where I stand in it, whom I may act on, which roles I may give (GRP-4, GRP-5).

import type { Group, Member, Role } from '../core/gen/api';

/** Highest first. */
export const ROLES: readonly Role[] = ['owner', 'admin', 'moderator', 'member', 'reader'];

/** Where I stand. */
export interface Standing {
  role: Role;
  /** My place in the order of authority; nobody at or above it can be acted on. */
  place: number;
  members: readonly Member[];
  mayEdit: boolean;
  mayAdd: boolean;
  /** Roles and policy are mine to change. */
  mayRule: boolean;
}

const rank = (role: Role): number => ROLES.indexOf(role);

/** My standing; nothing may be done by who is not in it. */
export function standing(group: Group): Standing {
  const place = group.members.findIndex(({ me }) => me);
  const role = group.members[place]?.role ?? 'reader';
  const here = group.member && place >= 0;
  return {
    role,
    place,
    members: group.members,
    mayEdit: here && rank(role) <= rank(group.mayEdit),
    mayAdd: here && rank(role) <= rank(group.mayAdd),
    mayRule: here && rank(role) <= rank('admin'),
  };
}

/** Whether I may remove this member, or give another role. Admins are the owners' to touch. */
export function mayActOn(me: Standing, member: Member): boolean {
  const below = me.members.findIndex(({ account }) => account === member.account) > me.place;
  return me.mayRule && below && !member.me && (me.role === 'owner' || rank(member.role) > rank('admin'));
}

const SILENT_MS = 30 * 24 * 3600 * 1000;

/** Whether no owner was heard for so long that I am asked who shall be another one (GRP-19). */
export function askedForSuccession(group: Group, now: number): boolean {
  const me = group.members.find((member) => member.me);
  return group.member && me !== undefined && group.electors.includes(me.account) && now - group.ownerHeardAt >= SILENT_MS;
}

/** Who can become one: those who are asked. */
export function candidates(group: Group): Member[] {
  return group.members.filter(({ account }) => group.electors.includes(account));
}

/** Whether I may give up my role: an owner when somebody else is one (GRP-14). */
export function mayStepDown(me: Standing): boolean {
  const owners = me.members.filter(({ role }) => role === 'owner').length;
  return me.mayRule && (me.role !== 'owner' || owners > 1);
}

/** The roles that I may take instead of mine, and mine. */
export function lower(me: Standing): Role[] {
  return ROLES.filter((role) => rank(role) >= rank(me.role));
}

/** The roles that I may give, and the one that there is. */
export function givable(me: Standing, member: Member): Role[] {
  return ROLES.filter((role) => role === member.role || (me.role === 'owner' ? true : rank(role) > rank('admin')));
}
