//! Which page is open, kept in the address after `#/`, so that Back and reload work.

export type Page =
  | { name: 'home' }
  | { name: 'chat'; chat: number }
  | { name: 'contact'; chat: number }
  | { name: 'safety'; chat: number }
  | { name: 'newGroup' }
  | { name: 'invite' }
  | { name: 'invitation'; id: string }
  | { name: 'invites' }
  | { name: 'publics' }
  | { name: 'newPublic' }
  | { name: 'public'; id: string }
  | { name: 'acceptance'; id: string }
  | { name: 'requests' }
  | { name: 'settings' };

/** Address of a page. */
export function pathOf(page: Page): string {
  switch (page.name) {
    case 'chat':
      return `#/chat/${page.chat}`;
    case 'contact':
      return `#/chat/${page.chat}/contact`;
    case 'safety':
      return `#/chat/${page.chat}/safety`;
    case 'invitation':
      return `#/invites/${page.id}`;
    case 'publics':
      return '#/public';
    case 'newPublic':
      return '#/public/new';
    case 'public':
      return `#/public/${page.id}`;
    case 'acceptance':
      return `#/acceptance/${page.id}`;
    case 'newGroup':
      return '#/group';
    case 'home':
      return '#/';
    default:
      return `#/${page.name}`;
  }
}

/** Page of an address; anything unknown is home. */
export function pageOf(hash: string): Page {
  const [first, second, third] = hash.replace(/^#\/?/, '').split('/');
  const chat = Number(second);
  if (first === 'chat' && Number.isSafeInteger(chat) && second !== undefined) {
    return { name: third === 'contact' ? 'contact' : third === 'safety' ? 'safety' : 'chat', chat };
  }
  if (first === 'invites') return second ? { name: 'invitation', id: second } : { name: 'invites' };
  if (first === 'public') return second === 'new' ? { name: 'newPublic' } : second ? { name: 'public', id: second } : { name: 'publics' };
  if (first === 'group') return { name: 'newGroup' };
  if (first === 'acceptance' && second) return { name: 'acceptance', id: second };
  if (first === 'invite' || first === 'requests' || first === 'settings') return { name: first };
  return { name: 'home' };
}

class Router {
  page = $state.raw<Page>({ name: 'home' });
  /** Where to open the next chat (from search): a message's position. */
  anchor: number | null = null;
  #trail: string[] = [];

  start(): void {
    this.page = pageOf(location.hash);
    this.#trail = [pathOf(this.page)];
    addEventListener('popstate', () => {
      this.page = pageOf(location.hash);
      const path = pathOf(this.page);
      // Back shortens the trail; an address typed or followed makes it longer.
      if (this.#trail.at(-2) === path) this.#trail.pop();
      else this.#trail.push(path);
    });
  }

  go(page: Page): void {
    if (pathOf(page) === pathOf(this.page)) return;
    history.pushState(null, '', pathOf(page));
    this.#trail.push(pathOf(page));
    this.page = page;
  }

  /** Takes the place of the present page: Back does not return to it. */
  replace(page: Page): void {
    history.replaceState(null, '', pathOf(page));
    this.#trail.splice(-1, 1, pathOf(page));
    this.page = page;
  }

  /** To the page above this one: back where one came from it, in its place otherwise. */
  up(parent: Page): void {
    if (this.#trail.at(-2) === pathOf(parent)) history.back();
    else this.replace(parent);
  }
}

export const router = new Router();
