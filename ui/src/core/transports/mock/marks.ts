//! A few of the signs that core reads, so that what is typed on the page comes back as a tree.

import type { Message, Node, NodeKind } from '../../gen/api';

const SIGNS = /\*\*(?<bold>[^*]+)\*\*|__(?<italic>[^_]+)__|\|\|(?<spoiler>[^|]+)\|\||`(?<mono>[^`]+)`|(?<link>https?:\/\/\S+)|(?<mention>@all)/g;

export function node(kind: NodeKind, text: string): Node {
  const leaf = ['text', 'mono', 'link', 'mention'].includes(kind);
  return { kind, text: leaf ? text : '', inside: leaf ? [] : [node('text', text)], mention: kind === 'mention' ? { account: null, name: '', me: true } : null };
}

/** What a typed text says. */
export function marked(typed: string): Pick<Message, 'text' | 'format' | 'typed'> {
  const format: Node[] = [];
  let [at, text] = [0, ''];
  const words = (more: string): void => {
    if (more !== '') format.push(node('text', more));
    text += more;
  };
  for (const found of typed.matchAll(SIGNS)) {
    words(typed.slice(at, found.index));
    const [kind, inside] = Object.entries(found.groups!).find(([, value]) => value !== undefined) as [NodeKind, string];
    format.push(node(kind, inside));
    text += inside;
    at = found.index + found[0].length;
  }
  if (format.length === 0) return { text: typed, format, typed: null };
  words(typed.slice(at));
  return { text, format, typed };
}
